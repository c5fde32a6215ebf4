"""Trials of payouts that wait for people: what the transfer would do if it were mined now.

Nothing is signed or kept by it. The build tries the call out again before it is signed
(``flow/trial.py``); this is so that who approves it sees what comes of it.
"""

from dataclasses import dataclass
from typing import Literal

from sakk.core.caip import erc20_contract
from sakk.core.errors import SakkError, Unavailable
from sakk.core.network import Asset, Network
from sakk.core.payout import Payout
from sakk.flow.context import Parts
from sakk.flow.sender import Senders
from sakk.flow.trial import Call, objection_to
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail, estimate_call
from sakk.store import address, network

Outcome = Literal["exact", "would_fail", "would_do_more", "unknown"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. ``reason``: of the node or of the rules, where it is not ``exact``; an error
    where pages can say it in other languages.

    ``fee_max``: wei that it may cost at most by what the network asks now, in ``native``; None
    where nobody can say.
    """

    outcome: Outcome
    reason: str | SakkError | None = None
    call: Call | None = None
    gas: int | None = None
    fee_max: int | None = None
    native: Asset | None = None


def try_payout(parts: Parts, payout: Payout) -> Tried:
    """Try the transfer of a payout out, from the address that would send it now."""
    with parts.database.read() as connection:
        treasury = address.list_payers(connection)
        found = network.find_network(connection, payout.network)
        native = None if found is None else network.find_asset(connection, found.native_asset)
    assert found is not None, "a network stays listed while something names it"
    if not treasury:
        missing = Unavailable("There is no treasury address yet: start the signer.")
        return Tried("unknown", missing, native=native)
    try:
        sender = Senders(parts, treasury).choose(
            payout.network, payout.asset, units=payout.token_amount
        )
        rail = parts.rail_of(found)
        contract = erc20_contract(payout.asset)
        call = Call(
            sender.address, *rail.call_of(payout.destination, contract, payout.token_amount)
        )
    except SakkError as error:
        return Tried("unknown", error, native=native)
    return _tried(parts, rail, found, payout, call, native)


def _tried(
    parts: Parts, rail: EvmRail, found: Network, payout: Payout, call: Call, native: Asset | None
) -> Tried:
    contract, units = erc20_contract(payout.asset), payout.token_amount
    expected = {(call.sender, contract): -units, (payout.destination, contract): units}
    try:
        beside = objection_to(parts, rail, call, expected, answers_true=contract is not None)
        if beside is not None:
            return Tried("would_do_more", beside, call, native=native)
        gas = estimate_call(
            rail.rpc, sender=call.sender, to=call.to, value=call.value, data=call.data
        )
        fee_max = gas * rail.fees(found.fee_caps).max_fee_per_gas
    except TransferWouldFail as error:
        return Tried("would_fail", error, call, native=native)
    except SakkError as error:
        return Tried("unknown", error, call, native=native)
    return Tried("exact", None, call, gas, fee_max, native)
