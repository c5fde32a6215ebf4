"""The disperse contract on a real chain, with the real USDC, Tether's quirks and hostile tokens."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.chain import Chain

from sakk.core.contract import CONTRACTS, DISPERSE, deployed_by
from sakk.core.disperse import (
    GAS_BEFORE_PAYMENT,
    TRANSACTION_GAS_MAX,
    Dispersal,
    Log,
    Outcomes,
    Payment,
    encode_disperse,
    outcomes,
)
from sakk.core.evm import keccak256
from sakk.rails.evm.contract import SALT, creation_code
from sakk.rails.evm.send import revert_reason
from sakk.rails.sandbox.chain import TokenKind, deploy_contract, deploy_token, mine_until, mint
from sakk.rails.sandbox.wallet import encode_call

UNLIMITED = (1 << 256) - 1
UNITS = 1_000_000
A, B, C = ("0x" + byte * 20 for byte in ("a1", "b2", "c3"))


def approve(chain: Chain, token: str, units: int = UNLIMITED) -> None:
    payer = chain.payer
    call = ("approve(address,uint256)", DISPERSE.address, units)
    mine_until(payer, payer.call_contract(token, *call))


def pay(
    chain: Chain,
    token: str,
    payments: Sequence[Payment],
    *,
    gas_limit: int = TRANSACTION_GAS_MAX,
    takes_fee: bool = False,
) -> tuple[Outcomes, dict[str, Any]]:
    """Disperse, and read the outcome as the product does."""
    payer = chain.payer
    data = encode_disperse(token, payments)
    receipt = mine_until(payer, payer.send_data(DISPERSE.address, data, gas_limit=gas_limit))
    logs = [
        Log(each["address"].lower(), tuple(each["topics"]), bytes.fromhex(each["data"][2:]))
        for each in receipt["logs"]
    ]
    dispersal = Dispersal(token.lower(), tuple(payments))
    sender = payer.address.lower()
    found = outcomes(dispersal, logs, contract=DISPERSE.address, sender=sender, takes_fee=takes_fee)
    return found, receipt


def reasons(found: Outcomes) -> dict[int, str]:
    return {line: revert_reason("0x" + answer.hex()) for line, answer in found.failed.items()}


@pytest.mark.parametrize("name", CONTRACTS)
def test_its_address_follows_from_its_code_and_it_stands_there(chain: Chain, name: str) -> None:
    contract, code = CONTRACTS[name], creation_code(name)
    assert contract.code_hash == "0x" + keccak256(code).hex()
    assert deployed_by(SALT + code) == contract
    assert chain.rpc.call("eth_getCode", contract.address, "latest") != "0x"


def test_a_deny_listed_recipient_stops_nobody_else(chain: Chain) -> None:
    usdc = chain.contracts.usdc.contract
    approve(chain, usdc)
    mine_until(chain.issuer, chain.issuer.call_contract(usdc, "blacklist(address)", B))
    before = chain.payer.balance_of(usdc, chain.payer.address)
    lines = [Payment(A, UNITS), Payment(B, UNITS), Payment(C, 3 * UNITS), Payment(A, UNITS)]
    found, receipt = pay(chain, usdc, lines)
    assert reasons(found) == {1: "Blacklistable: account is blacklisted"}
    assert found.untried_from is None
    assert [chain.payer.balance_of(usdc, each) for each in (A, B, C)] == [2 * UNITS, 0, 3 * UNITS]
    assert before - chain.payer.balance_of(usdc, chain.payer.address) == 5 * UNITS
    # Successes have their token's Transfer and nothing else.
    assert len(receipt["logs"]) == 4


def test_a_paused_token_and_an_allowance_too_small_fail_each_line(chain: Chain) -> None:
    usdc = chain.contracts.usdc.contract
    approve(chain, usdc, 2 * UNITS)
    found, _ = pay(chain, usdc, [Payment(A, UNITS), Payment(B, 2 * UNITS), Payment(C, UNITS)])
    assert reasons(found) == {1: "ERC20: transfer amount exceeds allowance"}
    approve(chain, usdc)
    mine_until(chain.issuer, chain.issuer.call_contract(usdc, "pause()"))
    found, _ = pay(chain, usdc, [Payment(A, UNITS), Payment(B, UNITS)])
    assert reasons(found) == dict.fromkeys((0, 1), "Pausable: paused")


def test_tether_answers_nothing_and_is_paid(chain: Chain) -> None:
    usdt = chain.contracts.usdt.contract
    approve(chain, usdt)
    found, _ = pay(chain, usdt, [Payment(A, UNITS), Payment(A, UNITS), Payment(B, 5)])
    assert not found.failed
    assert [chain.payer.balance_of(usdt, each) for each in (A, B)] == [2 * UNITS, 5]
    # With its fee on, less arrives and the log says so; the lines are paid none the less.
    mine_until(chain.issuer, chain.issuer.call_contract(usdt, "setParams(uint256,uint256)", 10, 1))
    found, _ = pay(chain, usdt, [Payment(C, UNITS)], takes_fee=True)
    assert not found.failed
    assert chain.payer.balance_of(usdt, C) == UNITS - UNITS // 1_000


def test_a_token_whose_log_lies_about_its_fee(chain: Chain) -> None:
    token = deploy_token(
        chain.contracts,
        TokenKind.gross_fee,
        name="Gross",
        symbol="GRO",
        decimals=6,
        fee_basis_points=100,
    )
    mint(chain.contracts, token, chain.payer.address, 10 * UNITS)
    approve(chain, token.contract)
    found, _ = pay(chain, token.contract, [Payment(A, UNITS)])
    assert not found.failed
    assert chain.payer.balance_of(token.contract, A) == UNITS * 99 // 100


def test_nobody_but_the_caller_is_charged(chain: Chain) -> None:
    usdc = chain.contracts.usdc.contract
    approve(chain, usdc)
    thief = chain.issuer
    data = encode_disperse(usdc, [Payment(thief.address.lower(), UNITS)])
    receipt = mine_until(thief, thief.send_data(DISPERSE.address, data, gas_limit=1_000_000))
    assert [log["address"].lower() for log in receipt["logs"]] == [DISPERSE.address]
    assert chain.payer.balance_of(usdc, thief.address) == 0


def test_no_token_at_the_address_reverts(chain: Chain) -> None:
    payer = chain.payer
    data = encode_disperse(A, [Payment(B, UNITS)])
    payer.send_data(DISPERSE.address, data, gas_limit=1_000_000)
    sent = payer.send_data(DISPERSE.address, data, gas_limit=1_000_000)
    chain.mine()
    assert payer.wait(sent, must_succeed=False)["status"] == "0x0"


class Hostile:
    """The hostile token, with one recipient for each of its modes."""

    MODES = (
        "honest",
        "reverts",
        "answersFalse",
        "movesAndAnswersFalse",
        "burnsGas",
        "revertsWithoutEnd",
        "answersWithoutEnd",
        "liesThatItMoved",
        "callsBack",
    )

    def __init__(self, chain: Chain) -> None:
        self._wallet = chain.payer
        self.address = deploy_contract(chain.contracts, "HostileToken")
        self._call("mint(address,uint256)", chain.payer.address, 1_000 * UNITS)
        approve(chain, self.address)
        for place, _ in enumerate(self.MODES):
            self._call("setMode(address,uint8)", self.recipient(place), place)
        mine_until(
            self._wallet,
            self._call("setCallBack(bytes)", encode_call("disperse(address,bytes32[])", A, [])),
        )

    def _call(self, signature: str, *arguments: Any) -> str:
        return self._wallet.call_contract(self.address, signature, *arguments, gas_limit=500_000)

    def call_back(self, data: bytes) -> None:
        mine_until(self._wallet, self._call("setCallBack(bytes)", data))

    def recipient(self, mode: int | str) -> str:
        place = self.MODES.index(mode) if isinstance(mode, str) else mode
        return f"0x{0xAA00 + place:040x}"

    def paid(self, mode: str) -> int:
        return self._wallet.balance_of(self.address, self.recipient(mode))

    def line(self, mode: str) -> Payment:
        return Payment(self.recipient(mode), UNITS)


@pytest.fixture
def hostile(chain: Chain) -> Hostile:
    return Hostile(chain)


def test_a_hostile_token_fails_its_own_lines_alone(chain: Chain, hostile: Hostile) -> None:
    modes = ["reverts", "answersFalse", "burnsGas", "revertsWithoutEnd", "answersWithoutEnd"]
    lines = [hostile.line(mode) for mode in ("honest", *modes, "honest")]
    found, receipt = pay(chain, hostile.address, lines)
    assert set(found.failed) == {1, 2, 3, 4}
    assert reasons(found)[1].startswith("HostileToken: a reason that is far longer")
    assert (found.failed[2], found.failed[3]) == (bytes(32), b"")
    # An answer without end is cut off; what it cost is the token's own.
    assert len(found.failed[4]) == 132
    assert hostile.paid("honest") == 2 * UNITS
    assert hostile.paid("answersWithoutEnd") == UNITS
    # Whoever burns gas burns what one payment may use, and no more.
    assert int(receipt["gasUsed"], 16) < 200_000 + len(lines) * 60_000


def test_out_of_gas_is_told_and_what_was_paid_stays_paid(chain: Chain, hostile: Hostile) -> None:
    lines = [hostile.line("honest"), hostile.line("burnsGas"), *[hostile.line("honest")] * 3]
    found, _ = pay(chain, hostile.address, lines, gas_limit=GAS_BEFORE_PAYMENT + 250_000)
    assert found.untried_from == 2
    assert set(found.failed) == {1, 2, 3, 4}
    assert hostile.paid("honest") == UNITS


@pytest.mark.parametrize("mode", ["movesAndAnswersFalse", "liesThatItMoved"])
def test_what_a_lying_token_does_is_seen_or_costs_nothing(
    chain: Chain, hostile: Hostile, mode: str
) -> None:
    lines = [hostile.line("honest"), hostile.line(mode)]
    if mode == "movesAndAnswersFalse":
        with pytest.raises(ValueError, match="the token tells of"):
            pay(chain, hostile.address, lines)
    else:
        # A token that keeps no books can not be caught by its own logs: balances do, before.
        found, _ = pay(chain, hostile.address, lines)
        assert not found.failed
        assert hostile.paid(mode) == 0


def test_a_recipient_that_calls_back_tells_of_its_own_failures_only(
    chain: Chain, hostile: Hostile
) -> None:
    """It has our contract emit `Failed` for line 0 at the contract's own address."""
    inner = encode_disperse(hostile.address, [hostile.line("reverts")])
    hostile.call_back(inner)
    lines = [hostile.line("honest"), hostile.line("callsBack"), hostile.line("honest")]
    found, receipt = pay(chain, hostile.address, lines)
    told = [log for log in receipt["logs"] if log["address"].lower() == DISPERSE.address]
    assert len(told) == 1
    assert not found.failed
    assert hostile.paid("honest") == 2 * UNITS
