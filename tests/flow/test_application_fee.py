"""Platforms: what they take of payments and payouts, to the unit, and what goes back."""

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.banking import own_account, pay_in, pay_out, payee, reference
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import fund_treasury, payout_now, rich
from tests.flow.refunding import PAYER
from tests.flow.test_fee import RULES, charged_by
from tests.flow.test_payout_batch import address, made, to
from tests.flow.test_quote import revenue

from sakk.core.application_fee import Application, ApplicationFee, applied
from sakk.core.beneficiary import Wanted
from sakk.core.checkout_session import Line as CheckoutLine
from sakk.core.connected_account import ConnectedAccount
from sakk.core.errors import (
    ParameterInvalid,
    PayoutDuplicate,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.fee import FeeKind, FeeRule, OnRefund, Tier, month_of
from sakk.core.payment import PaymentIntent
from sakk.core.payment_link import PaymentLink
from sakk.core.payout import PayoutRequest
from sakk.core.payout_batch import Line
from sakk.flow import connected_account as connections
from sakk.flow import payment
from sakk.flow import payment_link as links
from sakk.flow import payout as payouts
from sakk.flow import refund as refunds
from sakk.flow.payment import PaymentRequest
from sakk.flow.payout_batch import BatchRequest
from sakk.flow.refund_draft import Place, RefundRequest
from sakk.flow.transfer import TransferRequest
from sakk.flow.transfer import create as transfer
from sakk.ledger.projection import wait_projected
from sakk.store import connected_account as store
from sakk.store import fee as fees
from sakk.store import payin as payins
from sakk.store import settlement as settlements
from sakk.store.application_fee import application_fees
from sakk.store.database import fetch_all
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault

CENT = WHOLE_TOKEN // 100


def ask(
    world: World, platform: str, *rules: FeeRule, account: str | None = None
) -> ConnectedAccount:
    with world.database.begin() as connection:
        return connections.create(
            connection,
            identifier=new_id("cac"),
            platform=platform,
            account_id=account or world.account,
            livemode=False,
            permissions=["payments", "payouts"],
            fee_ppm_max=100_000,
            written=rules,
            metadata={},
            by=None,
            now=world.clock(),
        )


def end(world: World, verb: str, asked: ConnectedAccount, account: str) -> ConnectedAccount:
    with world.database.begin() as connection:
        ended: ConnectedAccount = getattr(connections, verb)(
            connection, asked.id, account_id=account, livemode=False, now=world.clock()
        )
        return ended


def intent(world: World, application: Application | None, cents: int = 2_500) -> PaymentIntent:
    with world.database.begin() as connection:
        return payment.create(
            connection,
            payment.read_catalogue(connection, now=world.clock()),
            PaymentRequest(cents, "usd", application=application),
            identifier=new_id("pi"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )


def give_back(
    world: World, what: PaymentIntent, cents: int, *, platform: str | None = None
) -> None:
    refunds.create(
        world.parts,
        RefundRequest(
            payment_intent=what.id,
            amount=cents,
            destination=Place(world.chain.network, PAYER),
            refund_application_fee=True,
            platform=platform,
        ),
        identifier=new_id("re"),
        account_id=world.account,
        livemode=False,
    )
    world.run()
    world.finalize()
    world.run()


def give_over_back(world: World, what: PaymentIntent) -> None:
    """What was paid over, and is set apart for the payer."""
    with world.database.begin() as connection:
        [over] = payins.list_over(connection, what.id)
    refunds.create(
        world.parts,
        RefundRequest(payin=over.id, destination=Place(world.chain.network, PAYER)),
        identifier=new_id("re"),
        account_id=world.account,
        livemode=False,
    )
    world.run()
    world.finalize()
    world.run()
    assert world.event_types()[-1] == "refund.succeeded"


def rows(world: World) -> list[tuple[str, str, str, int]]:
    with world.database.begin() as connection:
        statement = application_fees.select().order_by(application_fees.c.id)
        found = fetch_all(connection, statement, ApplicationFee)
    return [(row.kind, row.reason, row.status, row.amount) for row in found]


def test_a_platform_has_its_part_and_gives_it_back(make_world: MakeWorld) -> None:
    world = make_world()
    platform, stranger = world.merchant("Platform"), world.merchant("Stranger")
    charged_by(world, RULES[0])
    fund_treasury(world)
    connected = end(world, "accept", ask(world, platform), world.account)
    application = applied(connected, 100, of=2_500, param="x")
    paid = intent(world, application)
    # In two parts: what each brings of the dollar is its share, and the operator's fee is beside.
    for units in (10 * WHOLE_TOKEN, 15 * WHOLE_TOKEN):
        world.pay(paid, "usdc", units)
        world.finalize()
    assert rows(world) == [
        ("payin", "charged", "posted", 40 * CENT),
        ("payin", "charged", "posted", 60 * CENT),
    ]
    charged = 45 * CENT
    assert revenue(world) == charged
    assert world.balance(account=platform) == WHOLE_TOKEN
    assert world.balance() == 24 * WHOLE_TOKEN - charged
    assert world.amounts(account=platform) == [40 * CENT, 60 * CENT]
    assert sorted(world.amounts())[:2] == [-60 * CENT, -40 * CENT]
    assert "application_fee.created" in world.event_types(account=platform)
    assert not world.event_types(account=stranger)
    world.check()
    # Another platform gives nothing of it back, and neither does the merchant.
    for who in (stranger, ""):
        with pytest.raises(PermissionDenied, match="nobody else"):
            give_back(world, paid, 500, platform=who)
    # The platform has spent it: the payer is paid all the same, and the rest waits.
    transfer(
        world.parts,
        TransferRequest(WHOLE_TOKEN, "usdc", stranger),
        identifier=new_id("tr"),
        account_id=platform,
        livemode=False,
    )
    before = world.balance()
    give_back(world, paid, 1_250, platform=platform)
    assert rows(world)[2:] == [("refund", "returned", "pending", -50 * CENT)]
    assert world.balance(account=platform) == 0
    world.pay(intent(world, applied(connected, 200, of=2_500, param="x")))
    world.finalize()
    world.advance(timedelta(minutes=5))
    world.run()
    assert rows(world)[2][2] == "posted"
    assert world.balance(account=platform) == 2 * WHOLE_TOKEN - 50 * CENT
    assert before - world.balance() < 12_50 * CENT
    # All of it is given back with the rest, to the unit.
    give_back(world, paid, 1_250, platform=platform)
    assert sum(row[3] for row in rows(world) if row[0] == "refund") == -WHOLE_TOKEN
    assert world.balance(account=platform) == WHOLE_TOKEN
    world.check()


def settled(world: World, account: str) -> tuple[int, int]:
    """What a period of all time says was received, and taken in fees."""
    wait_projected(world.database.url)
    with world.database.begin() as connection:
        [balance] = settlements.list_balances(connection, account_id=account, livemode=False)
        found = settlements.sums(connection, balance, after_ns=0, until_ns=2**62, opening=0)
    return found.received, found.fees


def counted(world: World, connected: ConnectedAccount) -> int:
    """What counts towards the tiers of a platform's month."""
    with world.database.begin() as connection:
        return fees.read_volume(
            connection,
            account_id=connected.id,
            livemode=False,
            kind=FeeKind.payin.value,
            currency="usdc",
            month=month_of(world.clock()),
        )


def test_by_rules_on_payouts_and_undone(make_world: MakeWorld) -> None:
    world = make_world()
    platform = world.merchant("Platform")
    fund_treasury(world)
    tiered = FeeRule(
        kind=FeeKind.payin,
        currency="usdc",
        percent_ppm=20_000,
        tiers=(Tier(25 * WHOLE_TOKEN, 10_000),),
        on_refund=OnRefund.returned,
    )
    asked = ask(
        world, platform, tiered, FeeRule(kind=FeeKind.payout, fixed=25 * CENT, currency="usdc")
    )
    connected = end(world, "accept", asked, world.account)
    application = applied(connected, None, of=2_500, param="x")
    paid = [intent(world, application) for _ in range(2)]
    world.set_policy(over="refund_due")
    for each, units in zip(paid, (25, 30), strict=True):
        world.pay(each, "usdc", units * WHOLE_TOKEN)
        world.finalize()
    assert [row[3] for row in rows(world)] == [50 * CENT, 25 * CENT]
    sent = payouts.create(
        world.parts,
        PayoutRequest(
            10 * WHOLE_TOKEN,
            "usdc",
            Wanted(network=world.chain.network, address=PAYER),
            application=application,
        ),
        identifier=new_id("po"),
        account_id=world.account,
        livemode=False,
    ).run(world.database)
    assert sent.application_fee == 25 * CENT
    world.run()
    world.finalize()
    assert rows(world)[2:] == [("payout", "charged", "posted", 25 * CENT)]
    assert world.balance(account=platform) == WHOLE_TOKEN
    assert world.balance() == 39 * WHOLE_TOKEN
    world.check()
    # A settlement tells them apart: the platform's income is its merchant's fee.
    assert settled(world, platform) == (WHOLE_TOKEN, 0)
    assert settled(world, world.account) == (50 * WHOLE_TOKEN, 75 * CENT)
    # What was paid over goes back, and no fee with it, for none was taken of it.
    give_over_back(world, paid[1])
    assert len(rows(world)) == 3
    # Undone by the chain: the platform gives back what it had of it, and owes what it spent.
    last = intent(world, application)
    world.pay(last)
    world.finalize()
    assert counted(world, connected) == 75 * WHOLE_TOKEN
    transfer(
        world.parts,
        TransferRequest(world.balance(account=platform) - 10 * CENT, "usdc", world.account),
        identifier=new_id("tr"),
        account_id=platform,
        livemode=False,
    )
    world.chain.reorg(5)
    world.mine(8)
    world.watch()
    world.run()
    assert rows(world)[-1] == ("payin", "reversed", "posted", -25 * CENT)
    assert (world.balance(account=platform), world.receivable(account=platform)) == (0, 15 * CENT)
    assert counted(world, connected) == 50 * WHOLE_TOKEN
    world.check()


def test_small_refunds_count_and_what_was_given_back_is_not_taken_twice(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    platform = world.merchant("Platform")
    fund_treasury(world)
    # What the merchant has besides, and what the platform was paid by others.
    world.pay(intent(world, None))
    rule = FeeRule(kind=FeeKind.payin, currency="usdc", percent_ppm=1, on_refund=OnRefund.returned)
    connected = end(world, "accept", ask(world, platform, rule), world.account)
    world.pay(intent(world, applied(connected, 100, of=2_500, param="x")))
    world.finalize()
    had = world.balance(account=platform), world.balance()
    paid = intent(world, applied(connected, None, of=2_500, param="x"))
    world.pay(paid)
    world.finalize()
    block = world.payin(paid).block_number
    raw = world.chain.rpc.call("eth_getRawTransactionByHash", world.payin(paid).tx_hash)
    assert rows(world)[1:] == [("payin", "charged", "posted", 25)]
    # Of a cent nothing goes back, and it is written down; with the rest all of it has.
    give_back(world, paid, 1, platform=platform)
    give_back(world, paid, 2_499, platform=platform)
    assert rows(world)[2:] == [
        ("refund", "returned", "posted", 0),
        ("refund", "returned", "posted", -25),
    ]
    assert world.event_types(account=platform).count("application_fee.refunded") == 2
    assert (world.balance(account=platform), world.balance()) == had
    # The chain takes the payment back, and not its refunds: the fee went back before.
    sent = [each.tx_hash for each in world.payouts() if each.tx_hash]
    world.chain.reorg(world.chain.height() - (block or 0) + 1, again=sent)
    world.mine(8)
    world.run()
    assert rows(world)[4:] == [
        ("payin", "reversed", "posted", -25),
        ("refund", "reversed", "posted", 25),
    ]
    assert world.balance(account=platform) == had[0]
    assert world.balance() == had[1] - 25 * WHOLE_TOKEN
    assert (world.receivable(), world.receivable(account=platform)) == (0, 0)
    world.check()
    # Mined again it goes back again: all of it was refunded.
    world.chain.rpc.call("eth_sendRawTransaction", raw)
    world.finalize()
    assert rows(world)[6:] == [
        ("payin", "charged", "posted", 25),
        ("refund", "returned", "posted", -25),
    ]
    assert (world.balance(account=platform), world.balance()) == had
    world.check()


def test_payouts_to_banks_and_in_batches_carry_it_too(make_world: MakeWorld) -> None:
    world = make_world()
    platform = world.merchant("Platform")
    rule = FeeRule(
        kind=FeeKind.payout,
        currency="usdc",
        percent_ppm=20_000,
        tiers=(Tier(10 * WHOLE_TOKEN, 10_000),),
    )
    connected = end(world, "accept", ask(world, platform, rule), world.account)
    own = own_account(world)
    pay_in(world, own, 50_000, reference(world))
    paid, back, refused = (
        pay_out(world, payee(world, holder), 1_000, application=application)
        for holder, application in (
            ("Anna", applied(connected, 70, of=1_000, param="x")),
            ("RETURN MD07 Late", applied(connected, 90, of=1_000, param="x")),
            ("REJECT AC04 Closed", applied(connected, 80, of=1_000, param="x")),
        )
    )
    world.run()
    assert [payout_now(world, each).status for each in (paid, back, refused)] == [
        "posted",
        "failed",
        "failed",
    ]
    assert sorted(rows(world)) == [
        ("payout", "charged", "posted", 70),
        ("payout", "charged", "posted", 90),
        ("payout", "reversed", "posted", -90),
    ]
    # What came back of the second the platform owes, as after a reorganisation.
    assert world.balance("eur", account=platform) - world.receivable("eur", account=platform) == 70
    assert world.balance("eur") == 50_000 - 1_070
    rich(world, 100)
    lines = [
        Line(
            number,
            PayoutRequest(10 * WHOLE_TOKEN, "usdc", to(world, address(number)), application=each),
        )
        for number, each in enumerate(
            (
                applied(connected, None, of=1, param="x"),
                applied(connected, None, of=1, param="x"),
                applied(connected, 10 * CENT, of=10 * WHOLE_TOKEN, param="x"),
                None,
            ),
            1,
        )
    ]
    _, [total] = made(world, BatchRequest(lines))
    # All of a batch at the volume before it.
    assert total.fee == (20 + 20 + 10) * CENT
    world.run()
    world.finalize()
    world.run()
    assert sorted(row[3] for row in rows(world)[3:]) == [10 * CENT, 20 * CENT, 20 * CENT]
    assert world.balance(account=platform) == 50 * CENT
    assert world.balance() == 60 * WHOLE_TOKEN - 50 * CENT
    with pytest.raises(PayoutDuplicate):
        made(world, BatchRequest(lines))
    # Another fee is another batch, and what follows is priced by the tier that was reached.
    wanted = Wanted(network=world.chain.network, address=PAYER)
    request = PayoutRequest(
        10 * WHOLE_TOKEN, "usdc", wanted, application=applied(connected, None, of=1, param="x")
    )
    made(world, BatchRequest([Line(1, request)]))
    assert world.payouts()[-1].application_fee == 10 * CENT
    world.check()


def test_a_link_brings_its_platforms_part_until_the_connection_ends(make_world: MakeWorld) -> None:
    world = make_world()
    platform = world.merchant("Platform")
    connected = end(world, "accept", ask(world, platform), world.account)
    application = applied(connected, 100, of=2_500, param="x")
    assert application is not None
    vault = Vault(bytes(KEY_BYTES))
    link = PaymentLink(
        id=new_id("plink"),
        account_id=world.account,
        livemode=False,
        token_hash="",
        active=True,
        currency="usd",
        decimals=0,
        lines=[CheckoutLine("Tea", 2_500, 1).document()],
        amount=2_500,
        amount_min=None,
        amount_max=None,
        amount_preset=None,
        networks=None,
        currencies=None,
        uses_max=None,
        uses=0,
        success_url=None,
        message=None,
        inactive_message=None,
        metadata={},
        created=world.clock(),
        application=application.document(),
    )

    def begin() -> PaymentIntent:
        with world.database.begin() as connection:
            _, begun = links.begin(
                connection,
                payment.read_catalogue(connection, now=world.clock()),
                vault,
                written.token_hash,
                None,
                identifier=new_id("cs"),
                intent_id=new_id("pi"),
                locale=None,
                now=world.clock(),
            )
            return begun

    with world.database.begin() as connection:
        written = links.create(
            connection,
            payment.read_catalogue(connection, now=world.clock()),
            vault,
            link,
            public_url="https://pay.example",
            now=world.clock(),
        )
    first = begin()
    end(world, "revoke", connected, world.account)
    second = begin()
    for each in (first, second):
        world.pay(each)
        world.finalize()
        assert world.refresh(each).status == "succeeded"
    # What was begun before the end keeps its terms.
    assert rows(world) == [("payin", "charged", "posted", WHOLE_TOKEN)]
    assert (world.balance(account=platform), world.balance()) == (WHOLE_TOKEN, 49 * WHOLE_TOKEN)
    world.check()


def test_both_sides_have_to_say_so(make_world: MakeWorld) -> None:
    world = make_world()
    platform, stranger = world.merchant("Platform"), world.merchant("Stranger")
    asked = ask(world, platform)
    with world.database.begin() as connection:
        who: dict[str, Any] = {"platform": platform, "account_id": world.account, "livemode": False}
        assert connections.acting(connection, **who) is None
    for side, error in ((platform, PermissionDenied), (stranger, ResourceMissing)):
        with pytest.raises(error):
            end(world, "accept", asked, side)
    with pytest.raises(ParameterInvalid, match="Revoke it first"):
        ask(world, platform)
    with pytest.raises(ResourceMissing):
        ask(world, platform, account=world.operator)
    end(world, "accept", asked, world.account)
    with world.database.begin() as connection:
        acting = connections.acting(connection, **who)
        assert acting is not None
        assert acting.id == asked.id
        live = connections.acting(connection, **{**who, "livemode": True})
        turned = connections.acting(
            connection, platform=world.account, account_id=platform, livemode=False
        )
        assert (live, turned) == (None, None)
        with pytest.raises(PermissionDenied):
            connections.set_rules(
                connection,
                asked.id,
                [],
                platform=world.account,
                livemode=False,
                by=None,
                now=world.clock(),
            )
    with pytest.raises(ResourceMissing):
        end(world, "revoke", asked, stranger)
    ended = end(world, "revoke", asked, world.account)
    assert (ended.status, ended.ended_by) == ("ended", world.account)
    with pytest.raises(UnexpectedState):
        end(world, "accept", asked, world.account)
    with world.database.begin() as connection:
        assert connections.acting(connection, **who) is None
        assert store.count_pending(connection, platform, livemode=False) == 0
    # It may be asked for again.
    assert ask(world, platform).status == "pending"
