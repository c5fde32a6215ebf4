"""Trials: what a call would do if it were mined now, and what of that nobody asked for.

A call is tried out before it is signed. It may change the holdings that it is meant to change, by
exactly so much, and nothing else of ours; and it grants nobody anything.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.authorization import DESIGNATOR
from sakk.core.evm import ZERO_ADDRESS, keccak256

# The address that eth_simulateV1 gives to the logs of native transfers (`traceTransfers`).
NATIVE_LOG_ADDRESS = "0x" + "ee" * 20

# Who holds it, and the token's contract; None for the native coin. Addresses in lower-case hex.
Holding = tuple[str, str | None]


def _topic(signature: str) -> str:
    return "0x" + keccak256(signature.encode()).hex()


APPROVAL_TOPIC = _topic("Approval(address,address,uint256)")
# Uniswap's Permit2: owner, token and spender are indexed, the amount comes first in the data.
_PERMIT2 = frozenset(
    {
        _topic("Approval(address,address,address,uint160,uint48)"),
        _topic("Permit(address,address,address,uint160,uint48,uint48)"),
    }
)
# The code of an address that has none, or that does not exist.
NO_CODE = frozenset({"0x" + keccak256(b"").hex(), "0x" + "00" * 32})
APPROVAL_FOR_ALL_TOPIC = _topic("ApprovalForAll(address,address,bool)")
# What no transfer has a reason to do, whoever it is about: EIP-173, EIP-1967, OpenZeppelin's
# access control, and the delegation of votes (EIP-5805).
_NEVER = {
    _topic("OwnershipTransferred(address,address)"): "hands over a contract",
    _topic("OwnershipTransferStarted(address,address)"): "begins to hand over a contract",
    _topic("RoleGranted(bytes32,address,address)"): "grants a role",
    _topic("AdminChanged(address,address)"): "changes a proxy's administrator",
    _topic("Upgraded(address)"): "changes a contract's code",
    _topic("BeaconUpgraded(address)"): "changes a contract's code",
    _topic("DelegateChanged(address,address,address)"): "delegates votes",
}


@dataclass(frozen=True, slots=True)
class Log:
    """One event, as a node gives it."""

    contract: str
    topics: tuple[str, ...]
    data: str


class Move(NamedTuple):
    """Units that a log says moved."""

    contract: str | None
    source: str
    target: str
    units: int


class Grant(NamedTuple):
    """A right that a log says was given, by ``owner`` to ``spender`` where it names them."""

    what: str
    owner: str | None = None
    spender: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a call would do. ``changes``: of the holdings that were asked for; None if unknown.

    ``code``: the hash of the code that the sender itself runs. Without any it can delegate a call
    to nobody; what other contracts delegate shows in what they hold.
    """

    succeeds: bool
    reason: str = ""
    changes: Mapping[Holding, int] | None = None
    moves: tuple[Move, ...] = ()
    grants: tuple[Grant, ...] = ()
    code: str | None = None

    @property
    def parties(self) -> set[str]:
        """Every address that something moves from or to, or that gives a right."""
        found = {party for move in self.moves for party in (move.source, move.target)}
        return found | {grant.owner for grant in self.grants if grant.owner is not None}


def read_logs(logs: Sequence[Log]) -> tuple[tuple[Move, ...], tuple[Grant, ...]]:
    """What the logs of a call say moved, and what they say was granted."""
    moves: list[Move] = []
    grants: list[Grant] = []
    for log in logs:
        if not log.topics:
            continue
        first, ends = log.topics[0].lower(), [_address(topic) for topic in log.topics[1:3]]
        if first in _NEVER:
            grants.append(Grant(_NEVER[first]))
        elif first in _PERMIT2 and len(log.topics) == 4:
            if _units(log.data):
                grants.append(Grant("approves", ends[0], _address(log.topics[3])))
        elif first == APPROVAL_TOPIC and len(log.topics) == 4:
            # ERC-721: for one token; nobody, when it is taken back.
            if ends[1] != ZERO_ADDRESS:
                grants.append(Grant("approves", *ends))
        elif len(ends) < 2 or len(log.topics) != 3:
            continue
        elif first == TRANSFER_TOPIC:
            native = log.contract.lower() == NATIVE_LOG_ADDRESS
            contract = None if native else log.contract.lower()
            moves.append(Move(contract, ends[0], ends[1], _units(log.data)))
        elif first in (APPROVAL_TOPIC, APPROVAL_FOR_ALL_TOPIC) and _units(log.data):
            grants.append(Grant("approves", *ends))
    return tuple(moves), tuple(grants)


def changes_by(moves: Sequence[Move], holdings: Collection[Holding]) -> dict[Holding, int]:
    """By how much these holdings change, as the logs tell it."""
    changes = dict.fromkeys(holdings, 0)
    for move in moves:
        for party, units in ((move.source, -move.units), (move.target, move.units)):
            if (party, move.contract) in changes:
                changes[party, move.contract] += units
    return changes


def objection(
    trial: Trial,
    expected: Mapping[Holding, int | None],
    *,
    ours: Collection[str],
    approved: Collection[tuple[str, str]] = (),
    delegates: Collection[str] = (),
) -> str | None:
    """What a call that succeeds would do beside what is wanted of it, in words; None if nothing.

    ``expected``: by how much each holding changes, None for one that may change by any amount.
    ``ours``: the trial's parties that are addresses of ours. ``approved``: who may spend whose
    already, so that to say so again grants nothing. ``delegates``: contracts whose code the sender
    may run.
    """
    known = NO_CODE | {designation(each) for each in delegates}
    if trial.code is not None and trial.code not in known:
        return "its sender runs another's code (EIP-7702)"
    for holding, units in expected.items():
        seen = None if trial.changes is None else trial.changes.get(holding)
        if units is not None and seen is not None and seen != units:
            holder, contract = holding
            return f"{holder} would change by {seen} of {contract or 'native coin'}, not {units}"
    for move in trial.moves:
        for party in (move.source, move.target):
            if party in ours and (party, move.contract) not in expected and move.units:
                what = move.contract or "native coin"
                return f"{move.units} of {what} would move from {move.source} to {move.target} too"
    for grant in trial.grants:
        if grant.owner is None:
            return f"it also {grant.what}"
        if grant.owner in ours and (grant.owner, grant.spender) not in approved:
            return f"it also {grant.what} {grant.spender} for {grant.owner}"
    return None


def designation(delegate: str) -> str:
    """The hash of the code of an address that runs a delegate's."""
    return "0x" + keccak256(DESIGNATOR + bytes.fromhex(delegate[2:])).hex()


def _address(topic: str) -> str:
    return "0x" + topic[-40:].lower()


def _units(data: str) -> int:
    """The first word; nothing where a log has none."""
    return int(data[2:66] or "0", 16)
