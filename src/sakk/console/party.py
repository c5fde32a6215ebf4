"""Parties: who an account and its customers are, the papers that show it, and what is decided."""

from datetime import date
from decimal import Decimal, DecimalException
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.party_fields import DetailsForm, shown, told
from sakk.console.party_page import (
    KINDS,
    PPM_PER_PERCENT,
    RATINGS,
    ROLES,
    STATUSES,
    detail,
    faults_of,
    in_words,
    whose,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import party as rules
from sakk.core.attachment import saved_as
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.ownership import Relation
from sakk.core.party import HitState, Party, PartyRole, PartyStatus, Rating
from sakk.core.profile import DOCUMENT_BYTES_MAX, DocumentKind, PartyKind
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import due_diligence
from sakk.flow import party as flow
from sakk.pages.form import Form, Upload
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import party as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/parties"
# A document, and the fields beside it.
BODY_BYTES_MAX: Final = DOCUMENT_BYTES_MAX + (64 << 10)
MEDIA_TYPES: Final = {
    ".pdf": "application/pdf",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
}

Text = Annotated[str, Field(max_length=due_diligence.NOTE_LENGTH_MAX)]
Identifier = Annotated[str, Field(max_length=60)]


class PartyQuery(ListQuery):
    """Which parties. ``due``: those whose review is due, or with likenesses that are open."""

    status: PartyStatus | None = None
    kind: PartyKind | None = None
    role: PartyRole | None = None
    rating: Rating | None = None
    due: Literal["review", "likeness"] | None = None


class DraftQuery(Form):
    """Of which kind a party is to be."""

    kind: PartyKind = PartyKind.legal_entity


class CreateForm(DetailsForm):
    """A new party, and who it is to the account."""

    kind: Literal["legal_entity", "individual"]
    role: Literal["account", "customer", "related"]
    customer: Identifier | None = None


class LinkForm(Form):
    """Who is what to it. ``share``: in percent, of an owner alone."""

    party: Identifier
    relation: Relation
    share: Annotated[str, Field(max_length=10)] | None = None
    title: Annotated[str, Field(max_length=100)] | None = None


class UnlinkForm(Form):
    """Which link."""

    link: Identifier


class DocumentForm(Form):
    """A file that shows something of it."""

    document: DocumentKind
    file: Upload
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    issued_on: date | None = None
    expires_on: date | None = None


class RemoveForm(Form):
    """Which document."""

    document: Identifier


class RateForm(Form):
    """How much risk there is, and why."""

    rating: Rating
    note: Text


class ApproveForm(Form):
    """The digest of what was shown, and why."""

    digest: Annotated[str, Field(max_length=64)]
    note: Text


class RefuseForm(Form):
    """Not accepted, or not any more; why."""

    act: Literal["reject", "suspend"]
    reason: Text


class HitForm(Form):
    """What a likeness is, and how that is known."""

    hit: Identifier
    state: Literal["false_positive", "true_match"]
    why: Text


def index(visit: Visit, query: PartyQuery) -> Page | Download:
    """The parties, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        names = {
            each: found.name
            for each in {row.account_id for row in window.rows}
            if (found := accounts.find_account(connection, each)) is not None
        }
    if query.is_file:
        columns = (
            *("id", "created", "account_id", "role", "kind", "name", "status", "rating"),
            *("open_hits", "submitted_at", "decided_at", "review_at"),
        )
        return csv_file("parties.csv", fields(*columns), window.rows)
    gettext = visit.words.gettext
    values = {
        "list": listing(visit, query, window, window.rows),
        "accounts": names,
        "now": visit.now,
        "words": {"status": STATUSES, "kind": KINDS, "role": ROLES, "rating": RATINGS},
        "choices": {
            "status": options(visit, STATUSES),
            "kind": options(visit, KINDS),
            "role": options(visit, ROLES),
            "rating": options(visit, RATINGS),
            "due": [
                ("review", gettext("Review is due")),
                ("likeness", gettext("Likenesses are open")),
            ],
        },
        "may_create": visit.may("parties", "write") and visit.account_id is not None,
        "may_write": visit.may("parties", "write"),
    }
    return Page("console/parties.html", values)


def draft(visit: Visit, query: DraftQuery) -> Page:
    """An empty form for a company or a person."""
    visit.account()
    return _form(visit, query.kind.value, {"role": "related"}, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    kind = rejected.values.get("kind")
    known = kind if kind in KINDS else PartyKind.legal_entity.value
    return _form(visit, str(known), rejected.values, rejected)


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Write a party down as a draft."""
    identifier = visit.object_id(rules.PREFIX)
    account_id = visit.account()
    details = told(form, form.kind, visit.words)
    with visit.database.begin() as connection:
        known = store.find_party(
            connection, identifier, livemode=visit.livemode, account_id=account_id
        )
        if known is None:
            flow.create(
                connection,
                whose(visit),
                identifier=identifier,
                account_id=account_id,
                kind=form.kind,
                details=details,
                role=form.role,
                customer_id=form.customer,
                metadata=None,
                now=visit.now,
            )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("It is written down, as a draft."))


def show(visit: Visit, party: str) -> Page:
    """One party, with all that is known of it."""
    return detail(visit, party, None)


def again(visit: Visit, rejected: Rejected, party: str) -> Page:
    """The same with what was wrong in the form."""
    return detail(visit, party, rejected)


def edit(visit: Visit, party: str) -> Page:
    """The form with what is known."""
    with visit.database.read() as connection:
        found = flow.find(connection, whose(visit), party)
    return _form(visit, found.kind, shown(found.kind, found.details), None, found)


def edit_again(visit: Visit, rejected: Rejected, party: str) -> Page:
    """The same as it was sent."""
    with visit.database.read() as connection:
        found = flow.find(connection, whose(visit), party)
    return _form(visit, found.kind, rejected.values, rejected, found)


def change(visit: Visit, party: str, form: DetailsForm) -> Redirect:
    """Write down what is known now; what was known before stays as a revision."""
    with visit.database.begin() as connection:
        found = flow.find(connection, whose(visit), party)
        flow.update(
            connection,
            whose(visit),
            found.id,
            changes={"details": told(form, found.kind, visit.words)},
            now=visit.now,
        )
    return _back(visit, party, visit.words.gettext("It is saved."))


def submit(visit: Visit, party: str) -> Redirect:
    """Hand it in: its names are compared with the lists."""
    try:
        with visit.database.begin() as connection:
            flow.submit(connection, whose(visit), party, now=visit.now)
    except UnexpectedState as error:
        raise in_words(visit, error) from None
    return _back(visit, party, visit.words.gettext("Handed in."))


def link(visit: Visit, party: str, form: LinkForm) -> Redirect:
    """Say who owns, controls or directs it, or signs for it."""
    with visit.database.begin() as connection:
        flow.add_link(
            connection,
            whose(visit),
            party,
            identifier=visit.object_id(rules.LINK_PREFIX),
            party_id=form.party,
            relation=form.relation,
            share_ppm=_ppm(visit, form.share),
            title=form.title,
            now=visit.now,
        )
    return _back(visit, party, visit.words.gettext("It is saved."))


def unlink(visit: Visit, party: str, form: UnlinkForm) -> Redirect:
    """Say that they are it no longer."""
    with visit.database.begin() as connection:
        flow.remove_link(connection, whose(visit), party, form.link, now=visit.now)
    return _back(visit, party, visit.words.gettext("The link is removed."))


def attach(visit: Visit, party: str, form: DocumentForm) -> Redirect:
    """Keep a document, sealed."""
    ending = form.file.name[form.file.name.rfind(".") :].lower() if "." in form.file.name else ""
    media_type = MEDIA_TYPES.get(ending)
    if media_type is None:
        endings = ", ".join(MEDIA_TYPES)
        told_why = visit.words.gettext("Files that are kept end in {endings}.", endings=endings)
        raise ParameterInvalid(told_why, param="file")
    with visit.database.begin() as connection:
        flow.add_document(
            visit.parts,
            connection,
            whose(visit),
            party,
            document_id=visit.object_id(rules.DOCUMENT_PREFIX),
            content=form.file.content,
            described={
                "kind": form.document.value,
                "name": form.file.name[-100:],
                "media_type": media_type,
                "country": form.country,
                "issued_on": None if form.issued_on is None else form.issued_on.isoformat(),
                "expires_on": None if form.expires_on is None else form.expires_on.isoformat(),
            },
            now=visit.now,
        )
    return _back(visit, party, visit.words.gettext("The document is kept."))


def download(visit: Visit, party: str, document: str) -> Download:
    """A document, always to be saved."""
    with visit.database.read() as connection:
        found, content = flow.read_document(visit.parts, connection, whose(visit), party, document)
    return Download(saved_as(found.name, found.media_type), content)


def remove(visit: Visit, party: str, form: RemoveForm) -> Redirect:
    """Take a document away; it is kept for who has to ask later."""
    with visit.database.begin() as connection:
        flow.remove_document(connection, whose(visit), party, form.document, now=visit.now)
    return _back(visit, party, visit.words.gettext("The document shows nothing any more."))


def rate(visit: Visit, party: str, form: RateForm) -> Redirect:
    """Say how much risk there is."""
    due_diligence.rate(visit.parts, whose(visit), party, rating=form.rating.value, note=form.note)
    return _back(visit, party, visit.words.gettext("It is saved."))


def approve(visit: Visit, party: str, form: ApproveForm) -> Redirect:
    """Accept it as it was shown."""
    try:
        after = due_diligence.approve(
            visit.parts,
            whose(visit),
            party,
            digest=form.digest,
            note=form.note,
            step_up=visit.step_up,
        )
    except UnexpectedState as error:
        raise in_words(visit, error) from None
    gettext = visit.words.gettext
    if after.approval is not None:
        return _back(visit, party, gettext("Your word is kept: another person accepts it too."))
    return _back(visit, party, gettext("Accepted."))


def refuse(visit: Visit, party: str, form: RefuseForm) -> Redirect:
    """Do not accept it, or not any more."""
    due_diligence.refuse(visit.parts, whose(visit), party, act=form.act, reason=form.reason)
    gettext = visit.words.gettext
    done = gettext("Not accepted.") if form.act == "reject" else gettext("Suspended.")
    return _back(visit, party, done)


def decide_hit(visit: Visit, party: str, form: HitForm) -> Redirect:
    """Say what a likeness is; a true match suspends what was accepted at once."""
    due_diligence.decide_hit(
        visit.parts,
        whose(visit),
        party,
        form.hit,
        state=HitState(form.state),
        note=form.why,
        step_up=visit.step_up,
    )
    return _back(visit, party, visit.words.gettext("Written down."))


def _back(visit: Visit, party: str, text: str) -> Redirect:
    return Redirect(f"{PATH}/{party}", text)


def _ppm(visit: Visit, share: str | None) -> int:
    """Percent as parts per million: four places at most, nothing rounded."""
    if share is None:
        return 0
    try:
        ppm = Decimal(share.replace(",", ".").rstrip("% ")) * PPM_PER_PERCENT
    except DecimalException:
        ppm = Decimal("NaN")
    if not ppm.is_finite() or ppm != ppm.to_integral_value():
        told_why = visit.words.gettext("Write a percentage, with four places at most.")
        raise ParameterInvalid(told_why, param="share")
    return int(ppm)


def _window(connection: Connection, visit: Visit, query: PartyQuery) -> Window[Party]:
    c = store.parties.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters: list[ColumnElement[bool]] = [mode, *created_within(visit, query, store.parties)]
    if visit.account_id is not None:
        bound = [c.account_id == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        known = {"acct": c.account_id, "cus": c.customer_id}.get(search.name, c.id)
        bound.append(known == search.value)
    elif search is not None:
        filters.append(c.name.ilike(like((query.q or "").strip())))
    for name in ("status", "kind", "role", "rating"):
        value = getattr(query, name)
        if value is not None:
            filters.append(c[name] == value.value)
    if query.due == "review":
        filters += [c.status == PartyStatus.approved.value, c.review_at <= visit.now]
    elif query.due == "likeness":
        filters.append(c.open_hits > 0)
    return fetch_window(
        connection,
        store.parties,
        Party,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _form(
    visit: Visit,
    kind: str,
    sent: object,
    rejected: Rejected | None,
    party: Party | None = None,
) -> Page:
    gettext = visit.words.gettext
    values = {
        "kind": kind,
        "kinds": KINDS,
        "party": party,
        "sent": sent,
        "message": None if rejected is None else rejected.message,
        "faults": faults_of(rejected),
        "roles": [(each, gettext(text)) for each, text in ROLES.items()],
        "exposed": [("", gettext("Not known")), ("no", gettext("No")), ("yes", gettext("Yes"))],
    }
    return Page("console/party_form.html", values)


def _act(name: str, handler: object, *, step_up: bool = False, large: bool = False) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{party}}/{name}",
        handler,  # type: ignore[arg-type]
        "parties",
        step_up=step_up,
        operator_only=True,
        again=again,
        body_bytes_max=BODY_BYTES_MAX if large else 1 << 20,
    )


SCREENS = (
    Screen("GET", PATH, index, "parties", operator_only=True, menu=Menu("Risk", mark("Parties"))),
    Screen("GET", f"{PATH}/new", draft, "parties", "write", operator_only=True),
    Screen("POST", f"{PATH}/new", create, "parties", operator_only=True, again=draft_again),
    Screen("GET", f"{PATH}/{{party}}", show, "parties", operator_only=True),
    Screen("GET", f"{PATH}/{{party}}/change", edit, "parties", "write", operator_only=True),
    Screen(
        "POST", f"{PATH}/{{party}}/change", change, "parties", operator_only=True, again=edit_again
    ),
    Screen(
        "GET", f"{PATH}/{{party}}/documents/{{document}}", download, "parties", operator_only=True
    ),
    _act("submit", submit),
    _act("link", link),
    _act("unlink", unlink),
    _act("attach", attach, large=True),
    _act("remove", remove),
    _act("rate", rate, step_up=True),
    _act("approve", approve, step_up=True),
    _act("refuse", refuse, step_up=True),
    _act("likeness", decide_hit, step_up=True),
)
