"""Travel Rule: who stands behind transfers, what is missing, and what institutions told another."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field
from sqlalchemy import ColumnElement

from sakk.console.beneficiary import TYPES, WALLETS
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.regime import NAMES as REGIMES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.errors import ParameterInvalid, SealedElsewhere
from sakk.core.ivms101 import write
from sakk.core.travel_rule import TransferDirection, TravelRule, TravelRuleStatus
from sakk.core.vasp import PREFIX as VASP_PREFIX
from sakk.core.vasp import VaspStatus
from sakk.flow import travel_rule as flow
from sakk.flow.travel_exchange import MessageKind
from sakk.flow.travel_need import opened
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store import regime as regimes
from sakk.store import travel_rule as store
from sakk.store import vasp as vasps
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/travel_rules"
REASON_LENGTH_MAX: Final = 500
VASPS_SHOWN_MAX: Final = 200
STATUSES: Mapping[str, tuple[str, str]] = {
    "not_required": (mark("Not needed"), "plain"),
    "required": (mark("Something is missing"), "warn"),
    "pending": (mark("Waits for the other institution"), "wait"),
    "complete": (mark("Complete"), "good"),
    "refused": (mark("Refused"), "bad"),
}
EXCHANGES: Mapping[str, str] = {
    "none": mark("Nobody to ask"),
    "queued": mark("To be asked"),
    "asked": mark("Asked"),
    "approved": mark("Agreed"),
    "rejected": mark("Not agreed"),
    "unanswered": mark("No answer"),
    "concluded": mark("Concluded"),
}
DIRECTIONS: Mapping[str, str] = {"outgoing": mark("Sent"), "incoming": mark("Received")}
COUNTERPARTIES: Mapping[str, str] = {
    "vasp": mark("An institution"),
    "self_hosted": mark("A wallet of their own"),
    "own": mark("An address of ours"),
    "unknown": mark("Not known"),
}
# What each of these means for the transfer, and who acts next.
STATES: Mapping[str, str] = {
    "not_required": mark("Nothing has to be known of it, or it is under the regime's amount."),
    "required": mark("The transfer waits until what is missing below is told."),
    "pending": mark(
        "All that is needed here is known. The transfer waits for the other side's word."
    ),
    "complete": mark("Nothing of the Travel Rule holds the transfer up any more."),
    "refused": mark("The transfer does not take place."),
}
# What may be missing of a party, as its record names it.
LACKING: Mapping[str, str] = {
    "name": mark("name"),
    "account": mark("account number"),
    "address": mark("postal address"),
    "country": mark("country"),
    "national_identification": mark("national identification number"),
    "customer_identification": mark("customer number"),
    "birth": mark("date and place of birth"),
    "lei": mark("LEI"),
}
LACKING_ALONE: Mapping[str, str] = {
    "beneficiary.wallet": mark("Who keeps the wallet: an institution, or its owner?"),
    "beneficiary.ownership": mark(
        "Proof that the beneficiary owns the wallet: a signature or a test transfer, on the entry"
        " of the address book."
    ),
    "beneficiary.vasp": mark("The institution is blocked: another address has to be paid."),
}
# As the command names what is wrong, and as the forms call it.
_FIELDS: Final = {
    "travel_rule[type]": "type",
    "travel_rule[name]": "name",
    "travel_rule[country]": "country",
    "travel_rule[town]": "town",
    "travel_rule[address]": "postal",
    "travel_rule[vasp][travel_address]": "travel_address",
    **{
        f"{place}[{name}]": "postal" if name == "address" else name
        for place in ("originator", "travel_rule[originator]")
        for name in ("type", "name", "country", "town", "address")
    },
}
MESSAGES: Mapping[str, tuple[str, str]] = {
    "queued": (mark("Waiting"), "wait"),
    "sent": (mark("Delivered"), "good"),
    "failed": (mark("Given up"), "bad"),
}


MESSAGE_KINDS: Mapping[str, str] = {
    MessageKind.inquiry: mark("May it come?"),
    MessageKind.resolution: mark("The answer"),
    MessageKind.confirmation: mark("The transaction"),
}
# How a wallet's owner was shown (`sakk.core.travel_rule`).
OWNERSHIPS: Mapping[str, str] = {
    "eip191": mark("A signature by the wallet"),
    "eip712": mark("A signature by the wallet"),
    "transfer": mark("A test transfer from the wallet"),
    "declaration": mark("The account's word"),
}


class TravelQuery(ListQuery):
    """Which records. ``due``: those that wait, whether for us or for the other side."""

    status: TravelRuleStatus | None = None
    direction: TransferDirection | None = None
    due: Literal["yes", "late"] | None = None


class DecideForm(Form):
    """Why; it is kept with the record."""

    reason: Annotated[str, Field(max_length=REASON_LENGTH_MAX)]


Line = Annotated[str, Field(max_length=100)]


class SupplyForm(Form):
    """Who somebody is, in short. ``of``: who sends, who receives, or the account itself.

    ``wallet``, ``vasp`` and ``travel_address`` are of who receives.
    """

    of: Literal["beneficiary", "originator", "account"]
    type: Literal["natural", "legal"] | None = None
    name: Line | None = None
    given_name: Line | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    town: Line | None = None
    postal: Annotated[str, Field(max_length=500)] | None = None
    lei: Annotated[str, Field(max_length=20)] | None = None
    wallet: Literal["hosted", "self_hosted"] | None = None
    vasp: Annotated[str, Field(max_length=60)] | None = None
    travel_address: Annotated[str, Field(max_length=2_000)] | None = None

    def person(self) -> dict[str, Any]:
        """The person, as far as something was said of them."""
        given = {
            "type": self.type,
            "name": self.name,
            "given_name": self.given_name,
            "country": self.country,
            "town": self.town,
            "address": self.postal,
            "lei": self.lei,
        }
        return {name: value for name, value in given.items() if value is not None}

    def told(self) -> dict[str, Any]:
        """What the command is told of who receives."""
        vasp = {"id": self.vasp, "travel_address": self.travel_address}
        known = {name: value for name, value in vasp.items() if value is not None}
        return (
            self.person()
            | ({} if self.wallet is None else {"wallet": self.wallet})
            | ({"vasp": known} if known else {})
        )


class HoldForm(Form):
    """Whether its data are kept for longer."""

    hold: Literal["yes", "no"]


def index(visit: Visit, query: TravelQuery) -> Page | Download:
    """The records, newest first."""
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.travel_rules,
            TravelRule,
            bound=_bound(query),
            filters=_filters(visit, query),
            limit=query.limit,
            **query.place,
        )
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        regime = regimes.find_active(connection, livemode=visit.livemode)
    if query.is_file:
        names = (
            "id",
            "created",
            "direction",
            "status",
            "exchange",
            "subject",
            "counterparty",
            "network",
            "address",
            "deadline_at",
            "completed_at",
            "tx_hash",
        )
        return csv_file(
            "travel_rules.csv",
            fields(*names),
            window.rows,
        )
    gettext = visit.words.gettext
    values = {
        "list": listing(visit, query, window, window.rows),
        "scales": scales,
        "regime": regime,
        "regimes": REGIMES,
        "statuses": STATUSES,
        "exchanges": EXCHANGES,
        "directions": DIRECTIONS,
        "now": visit.now,
        "choices": {
            "status": options(visit, STATUSES),
            "direction": options(visit, DIRECTIONS),
            "due": [("yes", gettext("Waiting")), ("late", gettext("Past their deadline"))],
        },
    }
    return Page("console/travel_rules.html", values)


def show(visit: Visit, travel_rule: str) -> Page:
    """One record: what is known, what is missing, and what was told."""
    return _detail(visit, travel_rule, None)


def again(visit: Visit, rejected: Rejected, travel_rule: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, travel_rule, rejected)


def supply(visit: Visit, travel_rule: str, form: SupplyForm) -> Redirect:
    """Tell what is missing, in the name of the account whose transfer it is."""
    record = _found(visit, travel_rule)
    vault = visit.parts.secrets_vault()
    person = form.person()
    if bool(form.name) != bool(form.type):
        told_why = visit.words.gettext("Say both: what kind they are, and their name.")
        raise ParameterInvalid(told_why, param="name" if form.type else "type")
    if not (person if form.of != "beneficiary" else form.told()):
        raise ParameterInvalid(visit.words.gettext("Say something of them."), param="name")
    if person and form.name is None and form.of != "beneficiary":
        raise ParameterInvalid(visit.words.gettext("This is needed."), param="name")
    with visit.database.begin() as connection:
        if form.of == "account" and record.account_id is not None:
            flow.describe_account(
                connection,
                vault,
                person,
                account_id=record.account_id,
                livemode=visit.livemode,
                now=visit.now,
            )
        else:
            flow.supply(
                connection,
                vault,
                record.id,
                {"originator": person} if form.of == "originator" else form.told(),
                account_id=record.account_id,
                livemode=visit.livemode,
                now=visit.now,
            )
    after = _found(visit, record.id)
    gettext = visit.words.gettext
    if after.status == TravelRuleStatus.required:
        return Redirect(f"{PATH}/{record.id}", gettext("Kept. Something is missing still."), "warn")
    return Redirect(f"{PATH}/{record.id}", gettext("All that is needed is told."))


def complete(visit: Visit, travel_rule: str, form: DecideForm) -> Redirect:
    """Say that all is there, because the data went another way."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.complete(
            connection,
            record.id,
            livemode=visit.livemode,
            by=visit.actor.name,
            reason=form.reason,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("Complete: the transfer goes on."))


def refuse(visit: Visit, travel_rule: str, form: DecideForm) -> Redirect:
    """Refuse the transfer."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.refuse(
            connection,
            record.id,
            livemode=visit.livemode,
            by=visit.actor.name,
            reason=form.reason,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("The transfer is refused."))


def hold(visit: Visit, travel_rule: str, form: HoldForm) -> Redirect:
    """Keep the record's data for longer, or no longer so."""
    record = _found(visit, travel_rule)
    with visit.database.begin() as connection:
        flow.hold_data(
            connection, record.id, livemode=visit.livemode, legal_hold=form.hold == "yes"
        )
    return Redirect(f"{PATH}/{record.id}", visit.words.gettext("Kept."))


def _filters(visit: Visit, query: TravelQuery) -> list[ColumnElement[bool]]:
    c = store.travel_rules.c
    found = [c.livemode == visit.livemode, *created_within(visit, query, store.travel_rules)]
    if visit.account_id is not None:
        found.append(c.account_id == visit.account_id)
    if query.status is not None:
        found.append(c.status == query.status.value)
    if query.direction is not None:
        found.append(c.direction == query.direction.value)
    if query.due is not None:
        waits = (TravelRuleStatus.required.value, TravelRuleStatus.pending.value)
        found += [c.status.in_(waits), c.ended_at.is_(None)]
        if query.due == "late":
            found.append(c.deadline_at < visit.now)
    if query.q is not None and not _bound(query):
        found.append((c.id == query.q) | (c.subject == query.q) | (c.address == query.q.lower()))
    return found


def _bound(query: TravelQuery) -> list[ColumnElement[bool]]:
    """What a search finds by an index alone."""
    is_vasp = query.q is not None and query.q.startswith(f"{VASP_PREFIX}_")
    return [store.travel_rules.c.vasp == query.q] if is_vasp else []


def _found(visit: Visit, identifier: str) -> TravelRule:
    with visit.database.read() as connection:
        return flow.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    record = _found(visit, identifier)
    with visit.database.read() as connection:
        messages = store.list_messages(connection, record.id)
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        names = persons.names(connection, [record.decided_by] if record.decided_by else [])
        directory = vasps.list_some(connection, livemode=visit.livemode, limit=VASPS_SHOWN_MAX)
        vasp = (
            None
            if record.vasp is None
            else vasps.find(connection, record.vasp, livemode=visit.livemode)
        )
    known, sealed = _known(visit, record)
    gettext = visit.words.gettext
    sent = {} if rejected is None else rejected.values
    told = waits_for_us(record) and visit.may("travel_rule", "write") and sealed is None
    waits = record.status in ("required", "pending") and record.ended_at is None
    values = {
        "record": record,
        "decimals": scales.get(record.currency or "", 0),
        "messages": [(each, urlsplit(each.url).hostname or "–") for each in messages],
        "known": known,
        "sealed": sealed,
        "names": names,
        "vasp": vasp,
        "state": gettext(STATES[record.status]),
        "lacks": list(_lacking(visit, record)),
        "asks": record.direction == "incoming" and record.exchange == "asked",
        "supplies": _supplied(record) if told else [],
        "choices": {
            "type": [("", "–"), *((each, gettext(text)) for each, text in TYPES.items())],
            "wallet": [("", "–"), *((each, gettext(text)) for each, text in WALLETS.items())],
            "vasp": [
                ("", "–"),
                *((each.id, each.name) for each in directory if each.status == VaspStatus.active),
            ],
        },
        "may_decide": waits and visit.may("travel_rule", "write"),
        "may_hold": visit.may("travel_rule", "write"),
        "now": visit.now,
        "rejected": rejected,
        "sent": sent,
        "of": sent.get("of"),
        "faults": {}
        if rejected is None
        else {_FIELDS.get(name, name): text for name, text in rejected.faults.items()},
        "words": {
            "status": STATUSES,
            "exchange": EXCHANGES,
            "direction": DIRECTIONS,
            "counterparty": COUNTERPARTIES,
            "message": MESSAGES,
            "kind": MESSAGE_KINDS,
            "ownership": OWNERSHIPS,
            "regime": REGIMES,
        },
    }
    return Page("console/travel_rule.html", values)


def _known(visit: Visit, record: TravelRule) -> tuple[dict[str, Any] | None, str | None]:
    """What is known of the parties, and why it can not be read here where that is so."""
    if record.payload is None:
        return None, None
    try:
        document, _ = opened(visit.parts.secrets_vault(), record)
    except SealedElsewhere as error:
        return None, visit.words.error(error)
    return write(document), None


def waits_for_us(record: TravelRule) -> bool:
    """May something be told of it?"""
    return record.status == TravelRuleStatus.required and record.ended_at is None


def _supplied(record: TravelRule) -> list[str]:
    """Whom something can be told of: who is lacking first."""
    if record.direction == TransferDirection.incoming:
        return ["originator"]
    lacking = {each["field"].partition(".")[0] for each in record.missing}
    order = ["account", "beneficiary"] if lacking == {"originator"} else ["beneficiary", "account"]
    return [*order, "originator"]


def _lacking(visit: Visit, record: TravelRule) -> Iterator[str]:
    """What is missing, a line each: any one of what stands between strokes is enough."""
    gettext = visit.words.gettext
    for each in record.missing:
        party, _, name = each["field"].partition(".")
        if each["field"] in LACKING_ALONE:
            yield gettext(LACKING_ALONE[each["field"]])
        elif name not in LACKING:
            yield each["message"]
        else:
            wants = record.requirement.get(party) or ()
            want = next((one for one in wants if one and one[0].split("+")[0] == name), [name])
            ways = (
                " + ".join(gettext(LACKING.get(part, part)) for part in way.split("+"))
                for way in want
            )
            if party == "originator":
                yield gettext("Of who sends: {what}", what=" / ".join(ways))
            else:
                yield gettext("Of who receives: {what}", what=" / ".join(ways))


def _act(name: str, handler: Any, *, step_up: bool = False) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{travel_rule}}/{name}",
        handler,
        "travel_rule",
        step_up=step_up,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "travel_rule",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Travel Rule")),
    ),
    Screen("GET", f"{PATH}/{{travel_rule}}", show, "travel_rule", operator_only=True),
    _act("supply", supply, step_up=True),
    _act("complete", complete, step_up=True),
    _act("refuse", refuse, step_up=True),
    _act("hold", hold),
)
