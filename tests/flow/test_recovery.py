"""Recoveries on real nodes: tokens on no list, what screening holds, another chain, native coin."""

import hashlib
from datetime import timedelta

import pytest
from tests.chain import Chain, StartChain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, World
from tests.flow.money import fund_treasury, units_at, wei_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import caip, evm
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.person import Actor
from sakk.core.recovery import Recovery
from sakk.flow import claim as claims
from sakk.flow import recovery as flow
from sakk.flow import recovery_finding
from sakk.flow.adoption import adopt
from sakk.flow.build import WAIT_LIQUIDITY, WOULD_FAIL_MAX
from sakk.flow.recovery_finding import Finding
from sakk.flow.refund_draft import Place
from sakk.flow.transaction import ask
from sakk.rails.sandbox.chain import TokenKind, deploy_token, mint
from sakk.store import network as networks
from sakk.store import recovery as store
from sakk.store.identity import new_id

PAYER = "0x8ba1f109551bd432803012645ac136ddd64dba72"
OPERATOR = Actor("key_operator")
TOKEN = hashlib.sha256(b"recovery").hexdigest()


def examine(world: World, address: str, asset: str) -> Finding:
    return recovery_finding.examine(
        world.parts,
        network=asset.partition("/")[0],
        address=address,
        asset=asset,
        livemode=False,
    )


def offer(world: World, address: str, asset: str, *, token_hash: str = TOKEN) -> Recovery:
    """What stands there is offered to its payer."""
    return flow.create(
        world.parts,
        examine(world, address, asset),
        identifier=new_id("rec"),
        livemode=False,
        claim_hash=token_hash,
        claim_expires_at=None,
        actor=OPERATOR,
    )


def claim(world: World, row: Recovery, address: str = PAYER) -> None:
    """The payer says where to, and confirms it."""
    with world.database.begin() as connection:
        claims.give(connection, TOKEN, Place(row.network, address), now=world.clock(), confirm=True)


def now_of(world: World, row: Recovery) -> Recovery:
    with world.database.begin() as connection:
        found = store.find(connection, row.id)
    assert found is not None
    return found


def settle(world: World) -> None:
    """Gas arrives, then the coins leave, then it is told."""
    for _ in range(3):
        world.run()
        world.finalize()
        world.advance(WAIT_LIQUIDITY)
    world.run()


def unlisted(
    world: World, kind: TokenKind = TokenKind.plain, *, fee: int = 0, chain: Chain | None = None
) -> str:
    """A token on no list, with plenty of it at the payer; its contract."""
    chain = chain or world.chain
    token = deploy_token(
        chain.contracts, kind, name="Tkn", symbol="TKN", decimals=6, fee_basis_points=fee
    )
    if kind is not TokenKind.tether:
        mint(chain.contracts, token, chain.payer.address, 1_000 * WHOLE_TOKEN)
    world.run()
    return token.contract


def test_a_token_on_no_list_goes_back_to_its_payer(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    world.pay(intent, contract, 7 * WHOLE_TOKEN)
    world.finalize()
    held = world.payin(intent)
    assert (held.status, held.role) == ("held", "unlisted")
    found = examine(world, intent.address, held.asset)
    assert (found.units, found.payin, found.account_id, found.payment_intent) == (
        7 * WHOLE_TOKEN,
        held.id,
        world.account,
        intent.id,
    )
    assert found.gas_wei is not None
    assert found.gas_wei > 0
    row = offer(world, intent.address, held.asset)
    with pytest.raises(UnexpectedState):
        offer(world, intent.address, held.asset, token_hash="0" * 64)
    with pytest.raises(UnexpectedState):
        world.release(held)
    with pytest.raises(ParameterInvalid):
        claim(world, row, contract)
    with pytest.raises(ParameterInvalid):
        claim(world, row, intent.address)
    claim(world, row)
    with pytest.raises(UnexpectedState):
        claim(world, row)
    settle(world)
    done = now_of(world, row)
    assert (done.status, done.failure_reason) == ("succeeded", None)
    assert done.tx_hash is not None
    assert units_at(world, PAYER, contract) == 7 * WHOLE_TOKEN
    assert world.payin(intent).status == "returned"
    assert world.event_types(about=row.id, operator=True)[-1] == "recovery.succeeded"
    assert world.event_types(about=row.id) == []
    # A token on no list never was in the ledger; the gas that it cost is.
    assert world.position() == {}
    world.check()


def test_what_leaves_the_chain_and_is_called_off_may_be_offered_again(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    world.pay(intent, contract, 7 * WHOLE_TOKEN)
    world.finalize()
    asset = world.payin(intent).asset
    row = offer(world, intent.address, asset)
    claim(world, row)
    settle(world)
    assert now_of(world, row).status == "succeeded"
    [sent] = [each for each in world.transactions() if each.purpose == "recovery"]
    world.chain.reorg(world.chain.height() - (sent.block_number or 0) + 1)
    world.watch()
    ask(world.parts, sent.id, "cancel", livemode=False)
    settle(world)
    undone = now_of(world, row)
    assert (undone.status, undone.failure_reason) == ("failed", "transfer_failed")
    assert world.event_types(about=row.id, operator=True)[-1] == "recovery.failed"
    assert world.payin(intent).status == "held"
    assert units_at(world, PAYER, contract) == 0
    again = offer(world, intent.address, asset, token_hash=TOKEN[::-1])
    assert (again.token_amount, again.payin) == (7 * WHOLE_TOKEN, row.payin)
    world.check()
    # Somebody kept the first one's bytes: on another branch it went back after all.
    called_off = world.chain.height() - CONFIRMATIONS
    while not world.chain.rpc.call("eth_getBlockByNumber", hex(called_off), False)["transactions"]:
        called_off -= 1
    world.chain.reorg(world.chain.height() - called_off + 1)
    world.chain.rpc.call("anvil_dropAllTransactions")
    assert sent.raw is not None
    world.chain.rpc.call("eth_sendRawTransaction", "0x" + sent.raw.hex())
    settle(world)
    assert now_of(world, row).status == "succeeded"
    assert (world.payin(intent).status, units_at(world, PAYER, contract)) == (
        "returned",
        7 * WHOLE_TOKEN,
    )
    assert now_of(world, again).status == "requires_action"
    world.check()


def test_two_payers_of_one_address_get_back_what_each_sent(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    for units in (3, 4):
        world.pay(intent, contract, units)
        world.finalize()
    first, second = world.payins(intent)
    row = offer(world, intent.address, first.asset)
    assert (row.payin, row.token_amount) == (first.id, 3)
    claim(world, row)
    settle(world)
    assert [each.status for each in world.payins(intent)] == ["returned", "held"]
    found = examine(world, intent.address, first.asset)
    assert (found.payin, found.units) == (second.id, 4)
    world.check()


def test_a_destination_that_is_forbidden_gets_nothing(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    world.pay(intent, contract, WHOLE_TOKEN)
    world.finalize()
    world.import_list(PAYER)
    row = offer(world, intent.address, world.payin(intent).asset)
    claim(world, row)
    settle(world)
    failed = now_of(world, row)
    assert (failed.status, failed.failure_reason, failed.sweep) == ("failed", "declined", None)
    assert units_at(world, PAYER, contract) == 0
    assert world.payin(intent).status == "held"
    world.check()


def test_a_token_that_takes_a_fee_goes_back_as_it_will(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world, TokenKind.gross_fee, fee=500)
    intent = world.intent(2_500)
    world.pay(intent, contract, 100 * WHOLE_TOKEN)
    world.finalize()
    arrived = examine(world, intent.address, world.payin(intent).asset).units
    assert 0 < arrived < 100 * WHOLE_TOKEN
    row = offer(world, intent.address, world.payin(intent).asset)
    assert row.token_amount == arrived
    claim(world, row)
    settle(world)
    assert now_of(world, row).status == "succeeded"
    assert units_at(world, intent.address, contract) == 0
    assert 0 < units_at(world, PAYER, contract) < arrived
    world.check()


def test_a_token_that_refuses_leaves_everything_as_it_is(world: World) -> None:
    fund_treasury(world)
    contract = unlisted(world, TokenKind.tether)
    issuer = world.chain.issuer
    issuer.transfer(contract, world.chain.payer.address, 5 * WHOLE_TOKEN)
    world.mine()
    intent = world.intent(2_500)
    world.pay(intent, contract, WHOLE_TOKEN)
    world.finalize()
    row = offer(world, intent.address, world.payin(intent).asset)
    claim(world, row)
    issuer.call_contract(contract, "pause()")
    world.mine()
    assert examine(world, intent.address, row.asset).gas_wei is None
    for _ in range(WOULD_FAIL_MAX + 1):
        settle(world)
        world.advance(timedelta(minutes=5))
    failed = now_of(world, row)
    assert (failed.status, failed.failure_reason) == ("failed", "transfer_failed")
    assert units_at(world, intent.address, contract) == WHOLE_TOKEN
    assert world.payin(intent).status == "held"
    # When it lets go of them, they are offered once more.
    issuer.call_contract(contract, "unpause()")
    world.mine()
    again = offer(world, intent.address, row.asset, token_hash="1" * 64)
    assert again.token_amount == WHOLE_TOKEN
    world.check()


def test_native_coin_that_nobody_named_goes_back(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.chain.rpc.call("anvil_setBalance", intent.address, hex(10**17))
    world.finalize()
    with pytest.raises(UnexpectedState, match="adopt"):
        offer(world, intent.address, world.native)
    adopt(world.parts, world.chain.network)
    world.run()
    assert world.suspense(world.native) == 10**17
    row = offer(world, intent.address, world.native)
    claim(world, row)
    settle(world)
    assert now_of(world, row).status == "succeeded"
    assert wei_at(world, PAYER) == 10**17
    assert world.suspense(world.native) == 0
    world.check()


def test_the_same_address_on_another_chain(make_world: MakeWorld, start_chain: StartChain) -> None:
    """The payer sent a token on a network where this intent was never offered."""
    other = start_chain()
    world = make_world(more_chains=[other])
    contract = unlisted(world, chain=other)
    intent = world.intent(2_500, networks=[world.chain.network])
    other.payer.transfer(contract, evm.checksum_address(intent.address), 9)
    asset = caip.erc20_asset(other.network, contract.lower())
    other.mine(1)
    # Looked at before anybody followed that chain so far: the node alone is asked.
    assert examine(world, intent.address, asset).units == 9
    world.finalize()
    row = offer(world, intent.address, asset)
    claim(world, row)
    settle(world)
    assert now_of(world, row).status == "succeeded"
    sent = other.rpc.call(
        "eth_call",
        {"to": contract, "data": "0x70a08231" + PAYER[2:].rjust(64, "0")},
        "latest",
    )
    assert int(sent, 16) == 9
    world.check()


def test_what_is_nobodys_to_recover(world: World) -> None:
    fund_treasury(world)
    intent = world.intent(2_500)
    world.pay(intent)
    world.finalize()
    with pytest.raises(UnexpectedState, match="listed"):
        offer(world, intent.address, world.asset("usdc"))
    with pytest.raises(ResourceMissing):
        examine(world, world.treasury, world.asset("usdc"))
    with pytest.raises(ResourceMissing):
        examine(world, PAYER, world.asset("usdc"))
    with pytest.raises(ParameterInvalid):
        examine(world, intent.address, "eip155:1/erc20:0x" + "11" * 20)
    with world.database.begin() as connection:
        assert networks.find_network(connection, "eip155:1") is None
    world.check()
