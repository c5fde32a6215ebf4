"""Breaches: what was done in the name of an address of ours, and not by us.

Coins left it, it sent a transaction, it lets somebody spend what it has, it runs another's code, or
the hub pays somewhere else. Whoever did that has a right that is ours alone, or the key. What goes
out is stopped before anything is looked into, where the operator has said so.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core.evm import checksum_address
from sakk.core.freeze import REASON_CHARACTERS_MAX

PREFIX: Final = "brc"


class BreachKind(StrEnum):
    """``treasury``: a hub of ours pays, or is to pay, to an address that is not ours.

    ``recoverer``: a factory of ours lets, or is to let, such an address send what its clones hold.
    """

    transfer = "transfer"
    transaction = "transaction"
    approval = "approval"
    operator = "operator"
    delegation = "delegation"
    treasury = "treasury"
    recoverer = "recoverer"


class Place(StrEnum):
    """What kind of address it is: of the treasury, a deposit's, or a contract of ours."""

    treasury = "treasury"
    deposit = "deposit"
    contract = "contract"


class Guard(StrEnum):
    """Which breaches stop all that goes out, at once and by themselves."""

    off = "off"
    treasury = "treasury"
    all = "all"

    def freezes(self, place: Place) -> bool:
        """Is a breach at such an address one of them?

        A hub that pays elsewhere collects nothing by itself, and its delay gives time to look.
        """
        match self:
            case Guard.off:
                return False
            case Guard.treasury:
                return place is Place.treasury
            case Guard.all:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One such act. ``other`` is who gained by it: receiver, spender, the code that runs.

    ``freeze`` is the freeze that it led to, or that was in force already; ``case`` the case in
    which people look at it. ``tx_hash`` is empty where no transaction is known.
    """

    id: str
    livemode: bool
    network: str
    kind: str
    place: str
    address: str
    other: str
    asset: str | None = None
    units: int | None = None
    tx_hash: str = ""
    position: int = 0
    block_number: int | None = None
    block_hash: str | None = None
    freeze: str | None = None
    case: str | None = None
    created: datetime


_WORDS: Final = {
    BreachKind.transfer: "coins left {address} for {other}",
    BreachKind.transaction: "{address} sent a transaction to {other}",
    BreachKind.approval: "{address} lets {other} spend its coins",
    BreachKind.operator: "{address} lets {other} spend all that it has",
    BreachKind.delegation: "{address} signed that it runs the code at {other}",
    BreachKind.treasury: "the hub {address} pays, or is to pay, to {other}",
    BreachKind.recoverer: "the factory {address} lets, or is to let, {other} send what clones hold",
}


def reason(breach: Breach) -> str:
    """What happened, in one line of at most a freeze's length: for a freeze, and a case."""
    words = _WORDS[BreachKind(breach.kind)].format(
        address=checksum_address(breach.address), other=checksum_address(breach.other)
    )
    return f"not by us: {words}"[:REASON_CHARACTERS_MAX]


def public(breach: Breach) -> dict[str, Any]:
    """The operator's object ``breach``."""
    return {
        "id": breach.id,
        "object": "breach",
        "address": checksum_address(breach.address),
        "asset": breach.asset,
        "block_number": breach.block_number,
        "case": breach.case,
        "created": int(breach.created.timestamp()),
        "freeze": breach.freeze,
        "kind": breach.kind,
        "livemode": breach.livemode,
        "metadata": {},
        "network": breach.network,
        "other": checksum_address(breach.other),
        "place": breach.place,
        "token_amount": None if breach.units is None else str(breach.units),
        "tx_hash": breach.tx_hash or None,
    }
