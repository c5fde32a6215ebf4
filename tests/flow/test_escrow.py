"""Escrow channels from the first deposit to the last coin: on a real chain, with the real books."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.chain import Chain
from tests.escrowing import Payer
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.rails.lying_node import lying_node

from sakk.core import chart
from sakk.core.errors import BalanceInsufficient
from sakk.core.escrow_call import EscrowCall
from sakk.core.escrow_channel import (
    TIMEOUT_SECONDS_DEFAULT,
    EscrowChannel,
    Refusal,
    Totals,
)
from sakk.flow import redemption
from sakk.flow.escrow_channel import (
    DECLINED,
    DEPOSIT_REFUSED,
    Refused,
    Terms,
    order_deposit,
    terms,
)
from sakk.flow.escrow_refund import give_back, order_refund
from sakk.flow.voucher import Answer, Asked, Known, Presented, Vouchers, _Try, plan
from sakk.ledger.types import CreateTransferStatus, Ledger
from sakk.ledger.voucher import kept_vouchers
from sakk.rails.sandbox.chain import mine_until
from sakk.store import escrow_channel as store
from sakk.store.database import Database
from sakk.store.identity import new_id

UNITS = 10 * WHOLE_TOKEN
PRICE = 1_000


class Shop:
    """A merchant that is paid through the escrow, and one payer of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.terms: Terms = terms(
            world.parts,
            world.account,
            network=world.chain.network,
            asset=world.asset("usdc"),
            livemode=False,
        )
        self.vouchers = Vouchers(world.parts)
        self.payer = self.another()

    def another(self) -> Payer:
        return Payer(
            self.world.chain,
            self.terms.receiver,
            self.terms.authorizer,
            self.terms.withdraw_delay,
        ).fund(10 * UNITS)

    def deposit(self, payer: Payer | None = None, units: int = UNITS) -> EscrowChannel:
        payer = payer or self.payer
        call = order_deposit(self.world.parts, self.terms, payer.deposit(units, PRICE))
        settle(self.world)
        with self.world.database.begin() as connection:
            done = store.find_call(connection, call.id)
            channel = store.find_channel(connection, call.channel_id or "")
        assert done is not None
        assert channel is not None
        assert done.status == "posted", done.waits_for
        return channel

    def present(self, ceiling: int, *, amount: int = PRICE, payer: Payer | None = None) -> Answer:
        payer = payer or self.payer
        presented = Presented(
            network=self.world.chain.network,
            asset=self.world.asset("usdc"),
            channel="0x" + payer.channel.hex(),
            ceiling=ceiling,
            signature=payer.voucher(ceiling),
            amount=amount,
        )
        return self.vouchers.reserve(self.world.account, [presented])[0]

    def pay(self, ceiling: int, *, amount: int = PRICE, payer: Payer | None = None) -> None:
        answer = self.present(ceiling, amount=amount, payer=payer)
        assert answer.refusal is None, answer
        assert answer.charge is not None
        assert self.vouchers.commit(answer.charge).refusal is None

    def channel(self) -> EscrowChannel:
        with self.world.database.begin() as connection:
            found = store.named(
                connection, self.world.chain.network, "0x" + self.payer.channel.hex()
            )
        assert found is not None
        return found

    def totals(self) -> Totals:
        return self.vouchers.totals(self.channel())

    def incoming(self) -> int:
        return self.world.ledger(chart.merchant(self.world.account, "incoming", "test/usdc"))

    def escrowed(self) -> int:
        return -self.world.ledger(chart.escrow(self.world.asset("usdc")))

    def check(self) -> None:
        """Everything charged is redeemed or outstanding, on the ledger and on the chain."""
        channel, totals, state = self.channel(), self.totals(), self.payer.state()
        assert channel.redeemed == state.total_claimed
        assert self.incoming() == totals.charged - channel.redeemed
        leaving = self.world.ledger(channel.leaving_account)
        assert totals.balance + leaving - channel.lost == state.balance
        assert self.escrowed() == state.balance - state.total_claimed
        self.world.check()


OUT = ("redemption.order", "escrow_call.build", "transaction.sign", "transaction.broadcast")
BACK = ("transaction.confirm", "transaction.settle", "escrow_call.release", "escrow_channel.look")


def _tried(shop: Shop, known: Known, ceiling: int = PRICE) -> _Try:
    channel = "0x" + shop.payer.channel.hex()
    network, asset = shop.world.chain.network, shop.world.asset("usdc")
    signature = shop.payer.voucher(ceiling)
    return _Try(Presented(network, asset, channel, ceiling, signature, PRICE), known)


def settle(world: World, rounds: int = 1, *, seconds: int = 20) -> None:
    """What is due is sent, mined and final, and its stages have run."""
    for _ in range(rounds):
        world.advance(timedelta(seconds=seconds))
        world.run_only(*OUT)
        world.mine(CONFIRMATIONS + 1)
        world.watch()
        world.run_only(*BACK)


@pytest.fixture
def shop(make_world: MakeWorld) -> Shop:
    return Shop(make_world())


def test_from_the_first_deposit_to_the_last_coin(shop: Shop) -> None:
    channel = shop.deposit()
    assert shop.totals() == Totals(signed=0, charged=0, reserved=0, deposit=UNITS)
    for place in range(1, 6):
        shop.pay(place * PRICE)
    assert shop.totals() == Totals(
        signed=5 * PRICE, charged=5 * PRICE, reserved=0, deposit=UNITS - 5 * PRICE
    )
    assert shop.incoming() == 5 * PRICE
    assert shop.world.balance() == 0
    shop.pay(5 * PRICE + WHOLE_TOKEN, amount=WHOLE_TOKEN)
    settle(shop.world)
    assert shop.channel().redeemed == 5 * PRICE + WHOLE_TOKEN
    assert shop.world.balance() == 5 * PRICE + WHOLE_TOKEN
    call = order_refund(
        shop.world.parts,
        shop.vouchers,
        shop.channel(),
        ceiling=5 * PRICE + WHOLE_TOKEN,
        signature=shop.payer.voucher(5 * PRICE + WHOLE_TOKEN),
        amount=None,
    )
    settle(shop.world)
    with shop.world.database.begin() as connection:
        done = store.find_call(connection, call.id)
    assert done is not None
    assert done.status == "posted", done.waits_for
    assert shop.payer.state().balance == shop.payer.state().total_claimed
    assert shop.totals().deposit == 0
    shop.check()
    assert channel.id == shop.channel().id


def test_a_channel_that_is_always_busy_is_claimed_as_far_as_its_voucher_was_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call is charged between the look for vouchers and the look at the books."""
    shop.deposit()
    shop.pay(WHOLE_TOKEN, amount=WHOLE_TOKEN)

    def busy(ledger: Ledger, database: Database, named: list[str]) -> dict[str, tuple[int, bytes]]:
        found = kept_vouchers(ledger, database, named)
        shop.pay(shop.totals().charged + PRICE)
        return found

    monkeypatch.setattr(redemption, "kept_vouchers", busy)
    settle(shop.world)
    assert shop.channel().redeemed == WHOLE_TOKEN < shop.totals().charged
    shop.check()


def test_while_the_chain_is_away_calls_go_on_and_then_go_together(
    make_world: MakeWorld, chain: Chain
) -> None:
    """Two payers' channels are charged without a node, and claimed by one transaction with it."""
    with lying_node(chain.rpc_url) as node:
        shop = Shop(make_world(rpc_urls=[node.url]))
        payers = [shop.payer, shop.another()]
        for payer in payers:
            shop.deposit(payer)
        node.status = 503
        for payer in payers:
            shop.pay(WHOLE_TOKEN, amount=WHOLE_TOKEN, payer=payer)
        shop.world.advance(timedelta(seconds=20))
        shop.world.run_only("redemption.order", "escrow_call.build")
        assert "redemption" not in {each.purpose for each in shop.world.transactions()}
        node.honest()
        settle(shop.world)
        claims = [each for each in shop.world.transactions() if each.purpose == "redemption"]
        assert len(claims) == 1
        assert [payer.state().total_claimed for payer in payers] == [WHOLE_TOKEN] * 2
        assert shop.world.balance() == 2 * WHOLE_TOKEN
        shop.world.check()


def test_one_voucher_pays_once(shop: Shop) -> None:
    shop.deposit()
    first = shop.present(PRICE)
    assert first.charge is not None
    # While it is served, and after: a copy is told where the channel stands.
    for charged in ("reserved", "taken"):
        copy = shop.present(PRICE)
        assert copy.refusal is Refusal.amount_mismatch, charged
        assert copy.extra["channelState"]["chargedCumulativeAmount"] == str(PRICE)
        signature = "0x" + shop.payer.voucher(PRICE).hex()
        assert copy.extra["voucherState"] == {
            "signedMaxClaimable": str(PRICE),
            "signature": signature,
        }
        done = shop.vouchers.commit(first.charge)
        assert done.extra["chargedAmount"] == str(PRICE)
        assert done.extra["channelState"]["chargedCumulativeAmount"] == str(PRICE)
    assert shop.vouchers.release(first.charge).refusal is Refusal.busy
    # A call that failed costs nothing, and the same voucher pays for the next.
    second = shop.present(2 * PRICE)
    assert second.charge is not None
    assert shop.vouchers.release(second.charge).amount == 0
    again = shop.present(2 * PRICE)
    assert again.charge not in (None, second.charge)
    # Metered: less than was reserved.
    used = shop.vouchers.commit(again.charge or "", PRICE // 4)
    assert used.extra["channelState"]["chargedCumulativeAmount"] == str(PRICE + PRICE // 4)
    assert shop.totals().charged == PRICE + PRICE // 4
    assert shop.present(2 * PRICE + 1, amount=2 * PRICE).refusal is Refusal.amount_mismatch
    assert shop.present(UNITS + 1).refusal is Refusal.exceeds_balance
    stranger = shop.another()
    assert shop.present(PRICE, payer=stranger).refusal is Refusal.not_found
    forged = Presented(
        shop.world.chain.network,
        shop.world.asset("usdc"),
        "0x" + shop.payer.channel.hex(),
        3 * PRICE,
        bytes(65),
        PRICE,
    )
    assert shop.vouchers.reserve(shop.world.account, [forged])[0].refusal is Refusal.signature
    other = shop.world.merchant()
    mine = Presented(
        shop.world.chain.network,
        shop.world.asset("usdc"),
        "0x" + shop.payer.channel.hex(),
        3 * PRICE,
        shop.payer.voucher(3 * PRICE),
        PRICE,
    )
    assert shop.vouchers.reserve(other, [mine])[0].refusal is Refusal.not_found
    assert shop.vouchers.commit("nothing").refusal is Refusal.payload
    unknown = f"{shop.channel().id}:77:0"
    assert shop.vouchers.commit(unknown).refusal is Refusal.missing_channel
    shop.check()


def test_a_clock_that_is_ahead_ends_no_call_of_another_process(shop: Shop) -> None:
    """A copy of a voucher whose call is being served, where metered calls have left room for it."""
    shop.deposit()
    first = shop.present(2 * PRICE, amount=2 * PRICE)
    assert shop.vouchers.commit(first.charge or "", PRICE).refusal is None
    served = shop.present(3 * PRICE)
    assert served.charge is not None
    ahead = timedelta(seconds=TIMEOUT_SECONDS_DEFAULT + 20)
    parts = replace(shop.world.parts, clock=lambda: datetime.now(UTC) + ahead)
    shop.vouchers = Vouchers(parts)
    assert shop.present(3 * PRICE).refusal is Refusal.amount_mismatch
    assert shop.totals().reserved == PRICE


def test_calls_at_once_in_processes_at_once(shop: Shop) -> None:
    """A wallet signs on ahead and sends all at once: each is charged, none twice, in any order."""
    shop.deposit()
    desks = [Vouchers(shop.world.parts) for _ in range(4)]
    calls = [
        Presented(
            shop.world.chain.network,
            shop.world.asset("usdc"),
            "0x" + shop.payer.channel.hex(),
            place * PRICE,
            shop.payer.voucher(place * PRICE),
            PRICE,
        )
        for place in range(1, 17)
    ]
    random.Random(7).shuffle(calls)
    # Each goes to two desks: one of the two is a copy.
    asked = [(desks[place % 4], each) for place, each in enumerate(calls + calls[::-1])]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: one[0].reserve(shop.world.account, [one[1]])[0], asked))
    charges = {each.charge for each in answers if each.charge is not None}
    assert len(charges) == len(calls), [each.refusal for each in answers]
    for charge in charges:
        assert desks[0].commit(charge).refusal is None
    assert shop.totals() == Totals(16 * PRICE, 16 * PRICE, 0, UNITS - 16 * PRICE)
    # Many in one request, as a door sends what one turn of its loop brought.
    more = [
        Presented(
            shop.world.chain.network,
            shop.world.asset("usdc"),
            "0x" + shop.payer.channel.hex(),
            place * PRICE,
            shop.payer.voucher(place * PRICE),
            PRICE,
        )
        for place in range(17, 25)
    ]
    assert [each.refusal for each in desks[1].reserve(shop.world.account, more)] == [None] * 8


def test_a_copy_in_the_same_breath_takes_nothing_down(shop: Shop) -> None:
    """Where the payer has signed ahead, so that there is room for both."""
    shop.deposit()
    call = _tried(shop, shop.vouchers.know(shop.channel()), 2 * PRICE).presented
    answers = shop.vouchers.reserve(shop.world.account, [call, call])
    assert [each.refusal for each in answers] == [None, Refusal.amount_mismatch]
    assert shop.totals().reserved == PRICE


def test_a_voucher_and_its_copy_in_turn_refuse_each_other_nothing_for_ever(shop: Shop) -> None:
    """One of the two was overtaken by another voucher before, so that it is an id ahead."""
    shop.deposit()
    desks = [Vouchers(shop.world.parts) for _ in range(2)]
    tries = [_tried(shop, desk.know(shop.channel()), 3 * PRICE) for desk in desks]
    desks[0].keep([(tries[0].known, 3 * PRICE, tries[0].presented.signature)])
    before = shop.totals()
    planned = plan(tries[0].known, before, [tries[0].asked])
    assert shop.present(PRICE).refusal is None
    results = shop.world.parts.books.ledger.create_transfers(planned.transfers)
    statuses = [each.status for each in results]
    assert desks[0]._concluded(tries[:1], planned, before, statuses) == tries[:1]
    for _ in range(4):
        for desk, each in zip(desks[::-1], tries[::-1], strict=True):
            if each.answer is None:
                desk._round([each])
    refusals = [each.answer.refusal for each in tries if each.answer is not None]
    assert refusals == [None, Refusal.amount_mismatch]
    assert shop.totals().reserved == 2 * PRICE


def test_two_threads_that_are_refused_one_raise_skip_no_id(shop: Shop) -> None:
    """Else another process takes the id between, and what is signed rises twice from one base."""
    shop.deposit()
    known = shop.vouchers.know(shop.channel())
    call = Asked(PRICE, PRICE, 0, 60)
    for _ in range(2):
        planned = [plan(known, shop.totals(), [call]) for _ in range(2)]
        assert planned[0].transfers[0].id == planned[1].transfers[0].id
        for each in planned:
            refused = [CreateTransferStatus.linked_event_failed] * len(each.transfers)
            shop.vouchers._concluded([_tried(shop, known)], each, shop.totals(), refused)
    assert known.raises == {0: 2}


def test_refused_raises_are_remembered_of_one_base_and_none_that_stands(shop: Shop) -> None:
    """And from an older base, or from totals of before a raise, nothing rises a second time."""
    shop.deposit()
    known, ledger = shop.vouchers.know(shop.channel()), shop.world.parts.books.ledger
    seen: list[Totals] = []
    for place in range(3):
        seen.append(shop.totals())
        call = _tried(shop, known, (place + 1) * PRICE + 1)
        planned = plan(known, seen[-1], [call.asked])
        rise, charge = planned.transfers
        asked = [rise, replace(charge, amount=2 * UNITS)]
        statuses = [each.status for each in ledger.create_transfers(asked)]
        assert shop.vouchers._concluded([call], planned, seen[-1], statuses) == [call]
        shop.pay((place + 1) * PRICE)
        assert known.raises == {place * PRICE: 1}
    late = _tried(shop, known, 4 * PRICE)
    for overtaken in (seen[0], seen[2]):
        planned = plan(known, overtaken, [late.asked])
        statuses = [each.status for each in ledger.create_transfers(planned.transfers)]
        assert not any(each.accepted for each in statuses)
        shop.vouchers._concluded([late], planned, overtaken, statuses)
    assert known.raises == {2 * PRICE: 1}
    shop.pay(4 * PRICE)
    assert shop.totals()[:3] == (4 * PRICE, 4 * PRICE, 0)


def test_deposits_that_are_refused(shop: Shop) -> None:
    payer = shop.payer
    good = payer.deposit(UNITS, PRICE)
    refused = {
        Refusal.receiver_mismatch: replace(
            good, config=replace(good.config, receiver=payer.address)
        ),
        Refusal.authorizer_mismatch: replace(
            good, config=replace(good.config, receiver_authorizer=payer.address)
        ),
        Refusal.token_mismatch: replace(good, config=replace(good.config, token=payer.address)),
        Refusal.delay_range: replace(good, config=replace(good.config, withdraw_delay=899)),
        Refusal.delay_mismatch: replace(good, config=replace(good.config, withdraw_delay=900)),
        Refusal.signature: replace(good, ceiling=PRICE + 1),
        Refusal.payload: replace(good, units=0),
        DEPOSIT_REFUSED: replace(good, units=UNITS + 1),
    }
    for code, deposit in refused.items():
        with pytest.raises(Refused) as caught:
            order_deposit(shop.world.parts, shop.terms, deposit)
        assert caught.value.code == code
    # Asked for twice it is one call, and one transaction.
    first = order_deposit(shop.world.parts, shop.terms, good)
    assert order_deposit(shop.world.parts, shop.terms, good).id == first.id
    shop.world.import_list(payer.address)
    with pytest.raises(Refused) as caught:
        order_deposit(shop.world.parts, shop.terms, payer.deposit(UNITS, PRICE))
    assert (caught.value.code, caught.value.message) == (DECLINED, "This payment is not accepted.")


def test_a_payer_that_leaves_by_itself_gets_what_was_not_charged(shop: Shop) -> None:
    shop.deposit()
    shop.pay(3 * PRICE, amount=3 * PRICE)
    shop.payer.withdraw(UNITS)
    settle(shop.world, seconds=300)
    channel = shop.channel()
    assert channel.status == "withdrawing"
    # Nothing more is charged, and what was charged is claimed at once, worth its gas or not.
    assert shop.present(4 * PRICE).refusal is Refusal.exceeds_balance
    settle(shop.world)
    assert shop.channel().redeemed == 3 * PRICE
    settle(shop.world, seconds=shop.terms.withdraw_delay)
    shop.payer.finish_withdrawal()
    settle(shop.world, seconds=300)
    assert shop.channel().status == "open"
    assert shop.totals().deposit == 0
    assert shop.world.balance() == 3 * PRICE
    assert shop.world.receivable() == 0
    shop.check()


def test_a_deposit_that_the_chain_takes_back(shop: Shop) -> None:
    """It was final and charged against; then its bytes can do nothing any more."""
    shop.deposit()
    shop.pay(3 * PRICE, amount=3 * PRICE)
    deposit = next(each for each in shop.world.transactions() if each.purpose == "escrow")
    depth = shop.world.chain.height() - (deposit.block_number or 0) + 1
    issuer = shop.world.chain.issuer
    shop.world.chain.reorg(depth)
    usdc = shop.world.chain.contracts.usdc.contract
    listed = issuer.call_contract(usdc, "blacklist(address)", shop.payer.address)
    mine_until(issuer, listed)
    shop.world.watch()
    settle(shop.world, 3, seconds=400)
    assert shop.payer.state().balance == 0
    assert shop.totals().deposit == 0
    # What was charged stands as a debt of the merchant beside what it earned by it.
    assert shop.world.receivable() == 3 * PRICE
    assert shop.incoming() == 3 * PRICE
    assert shop.escrowed() == 0
    shop.world.check()


def test_a_refund_takes_what_was_signed_and_not_used_and_leaves_what_a_call_holds(
    shop: Shop,
) -> None:
    """A metered call used less than it reserved, and another one's door died."""
    shop.deposit()
    used = shop.present(4 * PRICE, amount=4 * PRICE)
    shop.vouchers.commit(used.charge or "", PRICE)
    held = shop.present(3 * PRICE, amount=2 * PRICE)
    assert held.charge is not None
    assert shop.totals() == Totals(4 * PRICE, PRICE, 2 * PRICE, UNITS - 4 * PRICE)

    def refund(ceiling: int) -> None:
        order_refund(
            shop.world.parts,
            shop.vouchers,
            shop.channel(),
            ceiling=ceiling,
            signature=shop.payer.voucher(ceiling),
            amount=None,
        )
        settle(shop.world, 2)
        shop.check()

    # By what its payer knows to be charged: it does not know of the call that was lost.
    refund(PRICE)
    assert shop.totals() == Totals(3 * PRICE, PRICE, 2 * PRICE, 0, PRICE)
    # The call ended without taking anything, and a copy of its voucher is good for nothing more.
    assert shop.vouchers.release(held.charge).refusal is None
    refund(PRICE)
    assert shop.totals() == Totals(PRICE, PRICE, 0, 0, 3 * PRICE)
    assert shop.present(3 * PRICE, amount=PRICE).refusal is Refusal.exceeds_balance
    # What comes later goes on from what was charged.
    shop.deposit()
    shop.pay(2 * PRICE)
    assert shop.totals() == Totals(2 * PRICE, 2 * PRICE, 0, UNITS - PRICE, 3 * PRICE)
    shop.check()


def test_a_refund_that_the_token_refuses_is_told_and_made_again(shop: Shop) -> None:
    world, issuer = shop.world, shop.world.chain.issuer
    usdc = world.chain.contracts.usdc.contract
    shop.deposit()
    shop.pay(3 * PRICE, amount=PRICE)

    def ask() -> EscrowCall:
        return order_refund(
            world.parts,
            shop.vouchers,
            shop.channel(),
            ceiling=PRICE,
            signature=shop.payer.voucher(PRICE),
            amount=None,
        )

    def ended(call: EscrowCall) -> EscrowCall:
        settle(world, 4, seconds=400)
        with world.database.begin() as connection:
            found = store.find_call(connection, call.id)
        assert found is not None
        return found

    mine_until(issuer, issuer.call_contract(usdc, "blacklist(address)", shop.payer.address))
    first = ask()
    assert shop.totals().free == 0
    failed = ended(first)
    assert (failed.status, failed.transaction) == ("failed", None), failed
    # It is in the channel again, and may be charged.
    assert shop.totals() == Totals(PRICE, PRICE, 0, UNITS - PRICE, 2 * PRICE)
    shop.pay(2 * PRICE)
    shop.check()
    # Its payee is told that it failed, and not what the chain says of the payer.
    [told] = world.events(about=first.id)
    assert (told.type, told.object["failure_reason"]) == ("escrow_refund.failed", "not_carried_out")
    assert "lacklist" in (failed.failure or "")
    assert "lacklist" not in str(told.object)

    mine_until(issuer, issuer.call_contract(usdc, "unBlacklist(address)", shop.payer.address))
    identifier = new_id("ecl")
    given = [
        give_back(
            world.parts, shop.vouchers, shop.channel(), identifier=identifier, amount=4 * PRICE
        )
        for _ in range(2)
    ]
    assert [each.id for each in given] == [identifier, identifier]
    with pytest.raises(BalanceInsufficient):
        give_back(
            world.parts, shop.vouchers, shop.channel(), identifier=new_id("ecl"), amount=UNITS
        )
    assert ended(given[0]).status == "posted"
    assert world.event_types(about=identifier) == ["escrow_refund.succeeded"]
    shop.check()


def test_what_has_failed_is_asked_for_again_and_once(shop: Shop) -> None:
    shop.deposit()
    shop.pay(PRICE)
    calls = []
    for _ in range(3):
        asked = [
            order_refund(
                shop.world.parts,
                shop.vouchers,
                shop.channel(),
                ceiling=PRICE,
                signature=shop.payer.voucher(PRICE),
                amount=2 * PRICE,
            ).id
            for _ in range(2)
        ]
        # The second is asked of a channel that stands otherwise: it gives back two more.
        assert len({*asked}) == 2
        calls += asked
        with shop.world.database.begin() as connection:
            for each in asked:
                store.change_call(connection, each, status="failing")
        settle(shop.world)
    assert len({*calls}) == 6
    shop.check()
