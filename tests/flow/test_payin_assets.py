"""Pay-ins by their token: wrong, unlisted, fake, odd decimals, fees, mints, burns, native coin."""

import pytest
from tests.flow.harness import World
from tests.screening.conftest import enact

from sakk.core import evm
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.network import Quirk
from sakk.core.payment import PaymentIntent
from sakk.core.rule import BUILT_IN
from sakk.flow.outflow import write_off
from sakk.rails.sandbox.chain import SandboxToken, TokenKind, deploy_token, mint

USD_25 = 25_000_000
ZERO = "0x" + "0" * 40
ARRIVED = ["payin.seen", "payin.confirmed", "payin.posted"]


def new_token(
    world: World,
    symbol: str,
    decimals: int = 6,
    kind: TokenKind = TokenKind.plain,
    fee_basis_points: int = 0,
) -> SandboxToken:
    """A token that exists on the chain and is on no list, with plenty of it at the payer."""
    token = deploy_token(
        world.chain.contracts,
        kind,
        name=symbol,
        symbol=symbol,
        decimals=decimals,
        fee_basis_points=fee_basis_points,
    )
    mint(world.chain.contracts, token, world.chain.payer.address, 10 ** (decimals + 6))
    world.run()
    return token


@pytest.mark.parametrize(
    ("policy", "credited", "reason"),
    [
        ("credit", True, "wrong_asset"),
        ("refund_due", False, "wrong_asset_refund_due"),
        ("suspense", False, "wrong_asset"),
    ],
)
def test_listed_token_that_was_not_asked_for(
    world: World, policy: str, credited: bool, reason: str
) -> None:
    world.set_policy(wrong_asset=policy)
    intent = world.intent(2500, currencies=["usdc"])
    world.pay(intent, "usdt", units=USD_25)
    world.finalize()
    # It never pays the intent, whatever becomes of the money.
    assert world.facts(intent) == ("requires_action", 0, None, None)
    place = "balance" if credited else "suspense"
    assert world.position("usdt") == {"custody": USD_25, place: USD_25}
    assert world.amounts() == ([USD_25] if credited else [])
    assert world.event_types() == ["payment_intent.created", *ARRIVED]
    row = world.payin(intent)
    assert (row.status, row.role, row.reason) == ("posted", "wrong_asset", reason)
    world.check()


def test_token_on_no_list_is_held_then_listed_and_released(world: World) -> None:
    token = new_token(world, "NEW")
    intent = world.intent(2500)
    world.pay(intent, token.contract, units=USD_25)
    world.finalize()
    row = world.payin(intent)
    assert (row.status, row.role, row.reason) == ("held", "unlisted", "asset_not_listed")
    assert world.position(token.contract) == {}
    assert world.event_types() == [
        "payment_intent.created",
        "payin.seen",
        "payin.confirmed",
        "payin.under_review",
    ]
    assert "payin.held" in world.event_types(about=row.id, operator=True)
    world.check()
    with pytest.raises(UnexpectedState, match="List the asset first"):
        world.release(row)

    world.list_token(token)
    world.check()
    world.release(row)
    world.run()
    assert world.payin(intent).status == "released"
    assert world.position(token.contract) == {"custody": USD_25, "balance": USD_25}
    assert world.amounts() == [USD_25]
    assert world.facts(intent) == ("requires_action", 0, None, None)
    assert world.event_types()[-1] == "payin.posted"
    world.check()


def test_fake_with_the_same_symbol_never_counts(world: World) -> None:
    fake = new_token(world, "USDC")
    intent = world.intent(2500)
    world.pay(intent, fake.contract, units=USD_25)
    world.finalize()
    assert world.facts(intent) == ("requires_action", 0, None, None)
    assert (world.payin(intent).status, world.payin(intent).role) == ("held", "unlisted")
    assert world.balance("usdc") == 0
    assert world.position(fake.contract) == {}
    # The real one still pays.
    world.pay(intent)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_minted_to_the_address(world: World) -> None:
    intent = world.intent(2500)
    usdc = world.chain.contracts.usdc
    mint(world.chain.contracts, usdc, evm.checksum_address(intent.address), USD_25)
    world.finalize()
    assert world.payin(intent).sender == ZERO
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


@pytest.mark.breached
def test_burned_from_the_address(world: World) -> None:
    """The merchant keeps what was credited; what vanished stands in suspense for a person."""
    token = new_token(world, "BRN")
    world.list_token(token)
    intent = world.intent(2500)
    world.pay(intent, token.contract)
    world.finalize()
    address = evm.checksum_address(intent.address)
    world.chain.payer.call_contract(token.contract, "burn(address,uint256)", address, 10_000_000)
    world.mine()
    world.run()
    assert [row.status for row in world.outflows()] == ["seen"]
    world.check()
    world.mine(2)
    world.run()
    [gone] = world.outflows()
    assert (gone.status, gone.token_amount, gone.receiver) == ("posted", 10_000_000, ZERO)
    assert world.position(token.contract) == {
        "custody": 15_000_000,
        "balance": USD_25,
        "suspense": -10_000_000,
    }
    assert world.event_types(about=gone.id, operator=True) == ["outflow.seen", "outflow.posted"]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def destroy(world: World, *intents: PaymentIntent) -> None:
    """The issuer of USDT destroys what stands on these addresses: no Transfer tells of it."""
    issuer, usdt = world.chain.issuer, world.contract("usdt")
    issuer.forget_nonce()
    for intent in intents:
        address = evm.checksum_address(intent.address)
        issuer.call_contract(usdt, "addBlackList(address)", address)
        issuer.call_contract(usdt, "destroyBlackFunds(address)", address, gas_limit=100_000)
    world.finalize()


def test_destroyed_without_a_trace_in_the_log(world: World) -> None:
    """The reconciliation finds it; the operator's word books it, once, against suspense."""
    kept, first, second = (world.intent(amount) for amount in (1000, 2500, 700))
    for intent in (kept, first, second):
        world.pay(intent, "usdt")
    world.finalize()
    world.check()
    assert write_off(world.parts, world.asset("usdt")) == []

    destroy(world, first, second)
    [found] = world.reconcile(ok=False).breaks
    assert world.asset("usdt") in found
    assert "difference -32000000" in found
    assert world.outflows() == []

    assert len(write_off(world.parts, world.asset("usdt"))) == 2
    assert write_off(world.parts, world.asset("usdt")) == []
    world.check()
    world.run()
    assert write_off(world.parts, world.asset("usdt")) == []
    rows = world.outflows()
    assert {row.address: row.token_amount for row in rows} == {
        first.address: USD_25,
        second.address: 7_000_000,
    }
    assert {row.status for row in rows} == {"posted"}
    assert world.position("usdt") == {
        "custody": 10_000_000,
        "balance": 42_000_000,
        "suspense": -32_000_000,
    }
    assert world.event_types(about=rows[0].id, operator=True) == ["outflow.seen", "outflow.posted"]
    # The merchant has what was credited: whose loss it is, is a person's to say.
    assert world.facts(first) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_write_off_knows_its_tokens(world: World) -> None:
    for name in ("eip155:84532/erc20:0x" + "00" * 20, world.native):
        with pytest.raises(ResourceMissing, match="no listed token"):
            write_off(world.parts, name)


def test_fee_that_the_log_hides_is_not_credited(world: World) -> None:
    """The Transfer says 25, the receiver got 24.75: what arrived is credited."""
    token = new_token(world, "GRS", kind=TokenKind.gross_fee, fee_basis_points=100)
    world.list_token(token, quirks=[Quirk.fee_on_transfer])
    intent = world.intent(2500)
    world.pay(intent, token.contract)
    world.pay(intent, token.contract, units=100)
    world.finalize()
    arrived = 24_750_000 + 99
    assert world.position(token.contract) == {"custody": arrived, "balance": arrived}
    assert world.facts(intent) == ("requires_action", 2475, "under", "on_time")
    world.check()


def test_fee_of_a_tether_like_token(world: World) -> None:
    issuer, usdt = world.chain.issuer, world.contract("usdt")
    issuer.forget_nonce()
    issuer.call_contract(usdt, "setParams(uint256,uint256)", 19, 49)
    world.mine()
    intent = world.intent(2500)
    world.pay(intent, "usdt")
    world.finalize()
    arrived = USD_25 - USD_25 * 19 // 10_000
    assert world.position("usdt") == {"custody": arrived, "balance": arrived}
    assert world.facts(intent) == ("requires_action", 2495, "under", "on_time")
    assert world.payin(intent).token_amount == arrived
    world.check()


def test_token_without_decimals(world: World) -> None:
    token = new_token(world, "PTS", decimals=0)
    world.list_token(token)
    intent = world.intent(2550)
    assert world.quote(intent, token.contract).token_amount == 26
    world.pay(intent, token.contract)
    world.finalize()
    assert world.facts(intent) == ("succeeded", 2550, "exact", "on_time")
    assert world.position(token.contract) == {"custody": 26, "balance": 26}
    world.check()


def test_more_decimals_than_the_currency_leave_dust(world: World) -> None:
    token = new_token(world, "DAI", decimals=18)
    world.list_token(token, currency_decimals=6)
    intent = world.intent(2500)
    assert world.quote(intent, token.contract).token_amount == 25 * 10**18
    units = 25 * 10**18 + 999_999_999_999
    world.pay(intent, token.contract, units=units)
    world.finalize()
    assert world.position(token.contract) == {
        "custody": units,
        "balance": USD_25,
        "dust": 999_999_999_999,
    }
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_nothing_but_dust(world: World) -> None:
    token = new_token(world, "DAI", decimals=18)
    world.list_token(token, currency_decimals=6)
    intent = world.intent(2500)
    world.pay(intent, token.contract, units=10**12 - 1)
    world.finalize()
    assert world.position(token.contract) == {"custody": 10**12 - 1, "dust": 10**12 - 1}
    assert world.payin(intent).status == "posted"
    assert world.facts(intent) == ("requires_action", 0, "under", "on_time")
    assert world.amounts() == []
    world.check()


def test_fewer_decimals_than_the_currency(world: World) -> None:
    token = new_token(world, "GUSD", decimals=2)
    world.list_token(token, currency_decimals=6)
    intent = world.intent(2500)
    world.pay(intent, token.contract)
    world.finalize()
    assert world.position(token.contract) == {"custody": 2500, "balance": USD_25}
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


@pytest.mark.parametrize(("policy", "place"), [("credit", "balance"), ("suspense", "suspense")])
def test_native_coin_sent_to_a_deposit_address(world: World, policy: str, place: str) -> None:
    world.set_policy(wrong_asset=policy)
    intent = world.intent(2500)
    world.pay_native(intent, 10**18)
    world.finalize()
    assert world.facts(intent) == ("requires_action", 0, None, None)
    assert world.position(world.native) == {"custody": 10**18, place: 10**18}
    row = world.payin(intent)
    assert (row.status, row.role, row.asset) == ("posted", "wrong_asset", world.native)
    assert world.event_types() == ["payment_intent.created", *ARRIVED]
    world.check()


@pytest.mark.parametrize("units", [2**128, 2**256 - 1])
def test_more_than_a_ledger_account_can_hold(world: World, units: int) -> None:
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Huge", symbol="HUGE", decimals=18
    )
    world.list_token(token)
    intent = world.intent(2500)
    payer = world.chain.payer
    address = evm.checksum_address(intent.address)
    payer.call_contract(token.contract, "mint(address,uint256)", address, units)
    world.pay(intent, "usdc")
    world.finalize()
    row = world.payin(intent, role="excessive")
    assert (row.status, row.token_amount, row.amount) == ("held", units, None)
    assert world.position(token.contract) == {}
    assert "payin.held" in world.event_types(about=row.id, operator=True)
    with pytest.raises(UnexpectedState, match="larger than a ledger account"):
        world.release(row)
    # Nobody else is kept waiting by it.
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def judge_by_lists_alone(world: World) -> None:
    """Amounts as large as these, from nowhere, are what a rule about unknown origin is for."""
    enact(world.database, *BUILT_IN["default-1"])


def test_largest_amount_that_a_ledger_account_can_hold(world: World) -> None:
    judge_by_lists_alone(world)
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Huge", symbol="HUGE", decimals=18
    )
    world.list_token(token)
    intent = world.intent(2500)
    units = 2**128 - 1
    world.chain.payer.call_contract(
        token.contract, "mint(address,uint256)", evm.checksum_address(intent.address), units
    )
    world.finalize()
    assert world.position(token.contract) == {"custody": units, "balance": units}
    assert world.facts(intent)[0] == "succeeded"
    world.check()


def test_amount_that_only_its_currency_can_not_hold(world: World) -> None:
    """Few enough atomic units, but too many of the currency's, which has more decimals."""
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Huge", symbol="HUGE", decimals=0
    )
    world.list_token(token, currency_decimals=18)
    intent = world.intent(2500)
    world.chain.payer.call_contract(
        token.contract, "mint(address,uint256)", evm.checksum_address(intent.address), 2**127
    )
    world.pay(intent, "usdc")
    world.finalize()
    assert world.payin(intent, role="excessive").status == "held"
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_account_that_is_nearly_full(world: World) -> None:
    """Each amount fits and their sum does not: the second waits, visibly, and nothing breaks."""
    judge_by_lists_alone(world)
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Huge", symbol="HUGE", decimals=18
    )
    world.list_token(token)
    first, second = world.intent(2500), world.intent(2500)
    for intent in (first, second):
        world.chain.payer.call_contract(
            token.contract, "mint(address,uint256)", evm.checksum_address(intent.address), 2**127
        )
    world.finalize()
    rows = world.payins()
    assert sorted(row.status for row in rows) == ["posted", "screened"]
    [waiting] = [row for row in rows if row.status == "screened"]
    assert waiting.attempt >= 1
    assert world.position(token.contract) == {"custody": 2**127, "balance": 2**127}
    world.check()
