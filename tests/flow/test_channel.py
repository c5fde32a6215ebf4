"""Channels that nobody uses, or whose time is over: what was not charged goes back by itself."""

from datetime import timedelta

from sqlalchemy import text
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import UNIT, credit

from sakk.core import chart
from sakk.core.channel import IDLE_MAX, LIFE_MAX, LIFE_MIN, PREFIX, Channel
from sakk.core.charge import Step, charge_id
from sakk.core.chart import TransferCode
from sakk.core.ledger import account_id, unit_id
from sakk.flow.channel import ChannelRequest, open_channel
from sakk.ledger.projection import wait_projected
from sakk.ledger.types import Transfer, TransferFlags
from sakk.store import channel as store
from sakk.store.identity import new_id

PRICE = WHOLE_TOKEN


def opened(world: World, payee: str, life: timedelta = LIFE_MAX) -> Channel:
    request = ChannelRequest(
        payee=payee, currency="usdc", ceiling=10 * PRICE, expires_in=int(life.total_seconds())
    )
    return open_channel(
        world.parts, request, identifier=new_id(PREFIX), payer=world.account, livemode=False
    )


def charge(world: World, channel: Channel, step: Step) -> None:
    """One step of a call of ``PRICE``, as the door books it; session and nonce are made up."""
    handle = int(channel.created.timestamp()) & 0xFFFF
    ends = step is not Step.reserved
    accounts = (channel.ledger_account, chart.merchant(channel.payee, "available", UNIT))
    debit, credited = (0, 0) if ends else (account_id(each.name) for each in accounts)
    transfer = Transfer(
        id=charge_id(handle, 7, step),
        debit_account_id=debit,
        credit_account_id=credited,
        amount=PRICE,
        unit=0 if ends else unit_id(UNIT),
        code=0 if ends else int(TransferCode.channel_charge),
        flags=TransferFlags.post_pending if ends else TransferFlags.pending,
        pending_id=charge_id(handle, 7, Step.reserved) if ends else 0,
        timeout_seconds=0 if ends else 3_600,
        user_data=1,
    )
    [result] = world.books.ledger.create_transfers([transfer])
    assert result.status.accepted, result
    wait_projected(world.database.url)


def status(world: World, channel: Channel) -> str:
    with world.database.begin() as connection:
        found = store.find(connection, channel.id)
    assert found is not None
    return found.status


def expire(world: World, seconds: float) -> int:
    world.advance(timedelta(seconds=seconds))
    [closing, _] = world.run_only("channel.expire", "channel.close")
    return closing


def test_what_nobody_uses_goes_back(world: World) -> None:
    credit(world, 100)
    payee = world.merchant()
    short = opened(world, payee, LIFE_MIN)
    idle, served = opened(world, payee), opened(world, payee)
    assert world.balance() == 70 * PRICE
    assert expire(world, 30) == 0
    assert expire(world, 30) == 1
    assert (status(world, short), world.balance()) == ("closed", 80 * PRICE)
    assert "channel.closed" in world.event_types(about=short.id)

    # Used by what the ledger saw, whatever the row knew of it.
    charge(world, served, Step.reserved)
    with world.database.begin() as connection:
        connection.execute(text("UPDATE channels SET used_at = used_at - interval '40 days'"))
    assert expire(world, 60) == 2
    assert (status(world, idle), status(world, served)) == ("open", "open")

    # What a call holds stays until it ends; all else is back.
    assert expire(world, IDLE_MAX.total_seconds()) == 2
    assert (status(world, idle), status(world, served)) == ("closed", "closing")
    assert world.balance() == 99 * PRICE
    charge(world, served, Step.committed)
    assert expire(world, 10) == 0
    assert status(world, served) == "closed"
    assert (world.balance(), world.balance(account=payee)) == (99 * PRICE, PRICE)
    world.check()
