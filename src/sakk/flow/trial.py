"""Trials: nothing is signed that would do anything else than what it is for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from sakk.core.errors import SakkError
from sakk.core.trial import Holding, objection
from sakk.flow.context import Parts
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail
from sakk.rails.evm.trial import try_out
from sakk.store import address, hub

log = structlog.get_logger(__name__)

held_total = Counter(
    "sakk_trials_held_total",
    "Calls that were not signed because they would do something that nobody asked for.",
    ["network"],
)


class WouldDoMore(SakkError):
    """The call would do something that nobody asked for; it is held until it would not.

    The token's contract, or the node's picture of it, is not as it is listed: look at the reason.
    """

    code = "would_do_more"
    status = 400
    transient = True


def require_exact(
    parts: Parts,
    rail: EvmRail,
    *,
    sender: str,
    to: str,
    value: int,
    data: bytes,
    expected: Mapping[Holding, int | None],
    approved: Collection[tuple[str, str]] = (),
    answers_true: bool = False,
) -> None:
    """Try a call out: it must change exactly what is expected, and nothing else of ours.

    ``expected``, ``approved``: see ``core.trial.objection``. TransferWouldFail if it would revert,
    WouldDoMore if it would do anything beside.
    """
    call = Call(sender, to, value, data)
    beside = objection_to(parts, rail, call, expected, approved=approved, answers_true=answers_true)
    if beside is not None:
        held_total.labels(rail.network).inc()
        log.error("trial.held", network=rail.network, sender=sender, to=to, beside=beside)
        raise WouldDoMore(f"held, for it would do more than it is for: {beside}")


@dataclass(frozen=True, slots=True)
class Call:
    """What is called: by whom, with how many wei, and which calldata."""

    sender: str
    to: str
    value: int
    data: bytes


def objection_to(
    parts: Parts,
    rail: EvmRail,
    call: Call,
    expected: Mapping[Holding, int | None],
    *,
    approved: Collection[tuple[str, str]] = (),
    answers_true: bool = False,
) -> str | None:
    """What a call would do beside what is wanted of it; TransferWouldFail if it would revert."""
    trial = try_out(
        rail.rpc,
        sender=call.sender,
        to=call.to,
        value=call.value,
        data=call.data,
        holdings=expected,
        answers_true=answers_true,
    )
    if not trial.succeeds:
        raise TransferWouldFail(f"the transfer would fail: {trial.reason}")
    with parts.database.begin() as connection:
        ours = set(address.find_addresses(connection, sorted(trial.parties)))
        delegates = hub.delegates(connection)
    return objection(
        trial, expected, ours=ours | {call.sender}, approved=approved, delegates=delegates
    )


def require_exact_transfer(
    parts: Parts,
    rail: EvmRail,
    *,
    sender: str,
    receiver: str,
    contract: str | None,
    units: int,
    takes_fee: bool = False,
) -> None:
    """Try one transfer out. ``takes_fee``: the token keeps a part, so less may arrive."""
    to, value, data = rail.call_of(receiver, contract, units)
    require_exact(
        parts,
        rail,
        sender=sender,
        to=to,
        value=value,
        data=data,
        expected={
            (sender, contract): -units,
            (receiver, contract): None if takes_fee else units,
        },
        answers_true=contract is not None,
    )
