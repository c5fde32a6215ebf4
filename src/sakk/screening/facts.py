"""Facts: what the rules in force ask for beside the lists, found out for a whole batch at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.errors import Unavailable
from sakk.core.network import Quirk
from sakk.core.screening import Facts, IssuerAnswer, ScreeningRequest, counterparty
from sakk.core.verdict import Needs
from sakk.store import behaviour
from sakk.store.behaviour import Question
from sakk.store.network import list_assets

# What a token's contract says of an address, by the asset and the address.
IssuerAnswers = Mapping[tuple[str, str], IssuerAnswer]


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
) -> list[Facts]:
    """Add to what the lists say what each transfer's rules want to know; nothing more is read.

    ``issuer``: what was read from nodes before. IssuerUnread where it lacks an answer, unless
    ``asked`` is False: what was sent long ago is not asked about again.
    """
    found = list(labelled)
    counting = [place for place, each in enumerate(wanted) if each.windows]
    questions = [Question(batch[place], wanted[place].windows, at) for place in counting]
    if counting:
        counts = behaviour.count_windows(connection, questions)
        for place, counted in zip(counting, counts, strict=True):
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
