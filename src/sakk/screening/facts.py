"""Facts: what the rules in force ask for beside the lists, found out for a whole batch at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.behaviour import Counted, with_itself
from sakk.core.errors import Unavailable
from sakk.core.exposure import Way
from sakk.core.network import Quirk
from sakk.core.rule import HOPS_MAX
from sakk.core.screening import (
    CHECK,
    CountryHit,
    CountryParty,
    Direction,
    Facts,
    IssuerAnswer,
    ScreeningRequest,
    counterparty,
    other_side,
)
from sakk.core.verdict import Needs
from sakk.screening.exposure import Exposures
from sakk.store import behaviour, country
from sakk.store.behaviour import Question
from sakk.store.exposure import height_of
from sakk.store.network import list_assets

# What a token's contract says of an address, by the asset and the address.
IssuerAnswers = Mapping[tuple[str, str], IssuerAnswer]
# Where a payer's money came from, and where a payee's went.
_WAYS = {Direction.incoming: Way.source, Direction.outgoing: Way.destination}


class IssuerUnread(Unavailable):
    """The issuer's deny-list was not read yet, so nothing is passed.

    It is read from the network's node: is that reachable?
    """

    code = "issuer_unread"


def gather(
    connection: Connection,
    batch: Sequence[ScreeningRequest],
    wanted: Sequence[Needs],
    labelled: Sequence[Facts],
    *,
    at: datetime,
    issuer: IssuerAnswers,
    asked: bool,
    exposures: Exposures,
) -> list[Facts]:
    """Add to what the lists say what each transfer's rules want to know; nothing more is read.

    ``issuer``: what was read from nodes before. IssuerUnread where it lacks an answer, unless
    ``asked`` is False: what was sent long ago is not asked about again.
    """
    found = [
        replace(facts, asked=asked_of(need)) for facts, need in zip(labelled, wanted, strict=True)
    ]
    counting = [place for place, each in enumerate(wanted) if each.windows]
    questions = [Question(batch[place], wanted[place].windows, at) for place in counting]
    if counting:
        counts = behaviour.count_windows(connection, questions)
        for place, counted in zip(counting, counts, strict=True):
            if batch[place].subject == CHECK:
                counted = _with_itself(batch[place], wanted[place], counted)
            found[place] = replace(found[place], counted=counted)
    asking = [place for place, each in enumerate(wanted) if each.paid_before]
    if asking:
        answers = behaviour.paid_before(connection, _questions(batch, asking, at))
        for place, answer in zip(asking, answers, strict=True):
            found[place] = replace(found[place], paid_before=answer)
    asking = [place for place, each in enumerate(wanted) if each.imitates]
    if asking:
        alike = behaviour.imitated(connection, _questions(batch, asking, at))
        for place, imitated in zip(asking, alike, strict=True):
            found[place] = replace(found[place], imitates=imitated)
    _trace(connection, batch, wanted, found, exposures)
    _locate(connection, batch, wanted, found)
    denying = deny_listing(connection, wanted)
    for place, request in enumerate(batch):
        if wanted[place].issuer and request.asset in denying:
            said = issuer.get((request.asset, counterparty(request)))
            if said is None and asked:
                raise IssuerUnread(
                    f"The deny-list of {request.asset} was not read for {counterparty(request)},"
                    " so nothing is passed. Is the network's node reachable?"
                )
            found[place] = replace(found[place], issuer=said)
    return found


def _with_itself(
    request: ScreeningRequest, need: Needs, counted: Mapping[str, Counted]
) -> dict[str, Counted]:
    return {
        key.name: with_itself(
            counted[key.name], key, direction=request.direction, amount=request.amount
        )
        for key in need.windows
    }


def _locate(
    connection: Connection,
    batch: Sequence[ScreeningRequest],
    wanted: Sequence[Needs],
    found: list[Facts],
) -> None:
    """Whose country stands on a list: the account's, and the beneficiary's, where it is known."""
    asking = [place for place, need in enumerate(wanted) if need.countries]
    if not asking:
        return
    listed = country.listed_now(connection)
    ours = {batch[place].account_id for place in asking} - {None}
    theirs = {batch[place].beneficiary for place in asking} - {None}
    accounts = country.countries_of_accounts(connection, {each for each in ours if each})
    entries = country.countries_of_beneficiaries(connection, {each for each in theirs if each})
    for place in asking:
        request = batch[place]
        known: list[tuple[CountryParty, str]] = []
        ours_is = accounts.get(request.account_id or "")
        if ours_is is not None:
            known.append(("account", ours_is))
        known += [("beneficiary", each) for each in entries.get(request.beneficiary or "", ())]
        hits = tuple(
            CountryHit(side, code, listing, name, version)
            for side, code in known
            for listing, name, version in listed.get(code, ())
        )
        found[place] = replace(found[place], countries=hits)


def _trace(
    connection: Connection,
    batch: Sequence[ScreeningRequest],
    wanted: Sequence[Needs],
    found: list[Facts],
    exposures: Exposures,
) -> None:
    """Where the other side's money came from, or went, where transfers of the token are kept."""
    asking: dict[tuple[str, str], list[int]] = {}
    for place, need in enumerate(wanted):
        request = batch[place]
        if (need.exposure or need.peels) and other_side(request) not in found[place].unreadable:
            asking.setdefault((request.network, request.asset), []).append(place)
    for token, places in asking.items():
        if not height_of(connection, *token):
            continue
        ways = {
            place: (counterparty(batch[place]), _WAYS[batch[place].direction])
            for place in places
            if wanted[place].exposure
        }
        walked = exposures.exposures(*token, ways.values(), connection=connection) if ways else {}
        for place, asked in ways.items():
            found[place] = replace(found[place], exposure=walked[asked])
        for place in places:
            if wanted[place].peels:
                other = counterparty(batch[place])
                peels = exposures.chain(*token, other, hops_max=HOPS_MAX, connection=connection)
                found[place] = replace(found[place], peels=peels)


def asked_of(need: Needs) -> tuple[str, ...]:
    """What is looked up that may turn out to be nothing."""
    names = ("exposure", "peels", "countries", "issuer")
    return tuple(name for name in names if getattr(need, name))


def deny_listing(connection: Connection, wanted: Sequence[Needs]) -> frozenset[str]:
    """The assets whose issuers keep a deny-list, where anybody wants to know."""
    if not any(each.issuer for each in wanted):
        return frozenset()
    return frozenset(
        asset.asset for asset in list_assets(connection) if Quirk.deny_listed in asset.quirks
    )


def _questions(
    batch: Sequence[ScreeningRequest], places: Sequence[int], at: datetime
) -> list[Question]:
    return [Question(batch[place], (), at) for place in places]
