"""A small transfer shows whose a wallet is, and what waited for that goes on."""

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import World
from tests.flow.policing import VAULT, Desk
from tests.flow.test_travel_exchange import sealing
from tests.flow.test_travel_rule import MERCHANT, enact

from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.wallet_proof import WalletProof
from sakk.flow import beneficiary, payment, travel_rule, wallet_proof
from sakk.store import beneficiary as beneficiaries
from sakk.store import payment as payments
from sakk.store import wallet_proof as store
from sakk.store.database import fetch
from sakk.store.event import events
from sakk.store.identity import new_id

__all__ = ["sealing"]


def entry(world: World, address: str) -> str:
    with world.database.begin() as connection:
        made = beneficiary.create(
            connection,
            identifier=new_id("ben"),
            account_id=world.account,
            livemode=False,
            now=world.clock(),
            vault=VAULT,
            details={
                "name": "Ann",
                "address": address,
                "networks": [world.chain.network],
                "travel_rule": {"type": "natural", "name": "Lee", "wallet": "self_hosted"},
            },
        )
    return made.id


def ask(world: World, of: str, **changes: Any) -> WalletProof:
    given: dict[str, Any] = {
        "currency": "usd",
        "seconds": None,
        "account_id": world.account,
        **changes,
    }
    with world.database.begin() as connection:
        return wallet_proof.create(
            connection,
            payment.read_catalogue(connection),
            of,
            identifier=new_id("wpf"),
            intent=new_id("pi"),
            livemode=False,
            now=world.clock(),
            **given,
        )


def now(world: World, proof: WalletProof) -> WalletProof:
    with world.database.begin() as connection:
        return wallet_proof.find(connection, proof.id, account_id=world.account, livemode=False)


def pay(world: World, proof: WalletProof, **changes: Any) -> None:
    with world.database.begin() as connection:
        intent = payments.find(
            connection, proof.payment_intent, account_id=world.account, livemode=False
        )
    assert intent is not None
    world.pay(intent, **changes)
    world.finalize()


def test_a_transfer_proves_a_wallet_and_lets_a_payout_go(sealing: World) -> None:
    world = sealing
    payer = world.chain.payer.address.lower()
    desk = Desk(world.database, world.account, now=world.clock())
    with world.database.begin() as connection:
        travel_rule.describe_account(
            connection,
            world.parts.secrets_vault(),
            {**MERCHANT, "lei": "506700GE1G29325QX363", "town": "x", "address": "y"},
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )
    enact(desk, "ch")
    of = entry(world, payer)
    world.pay(world.intent(50_00))
    world.pay(world.treasury, "usdc", 1_000_000_000)
    world.finalize()
    row = world.payout(1_000_000, address=payer)
    assert row.travel_rule == "required"
    proof = ask(world, of)
    pay(world, proof)
    world.run()
    done = now(world, proof)
    assert done.status == "proved"
    with world.database.begin() as connection:
        booked = beneficiaries.find(connection, of, account_id=world.account, livemode=False)
        names = list(
            connection.execute(
                events.select()
                .with_only_columns(events.c.type)
                .where(events.c.object_id == proof.id)
                .order_by(events.c.id)
            ).scalars()
        )
    assert booked is not None
    assert booked.ownership is not None
    assert (booked.ownership["type"], booked.ownership["payin"]) == ("transfer", done.payin)
    assert names == ["wallet_proof.created", "wallet_proof.proved"]
    [found] = [each for each in world.payouts() if each.id == row.id]
    assert found.travel_rule == "complete"
    # It was credited, like any payment.
    world.check()


def test_another_sender_proves_nothing(world: World) -> None:
    proof = ask(world, entry(world, "0x" + "66" * 20), seconds=3_600)
    pay(world, proof)
    assert now(world, proof).status == "open"
    world.advance(timedelta(seconds=2 * 3_600 + 5))
    world.run()
    assert now(world, proof).status == "expired"


def test_another_amount_proves_nothing(world: World) -> None:
    proof = ask(world, entry(world, world.chain.payer.address.lower()))
    pay(world, proof, units=5)
    assert now(world, proof).status == "open"


def test_of_whom_and_in_what(world: World) -> None:
    of = entry(world, world.chain.payer.address.lower())
    with pytest.raises(ParameterInvalid, match="no currency"):
        ask(world, of, currency="xyz")
    with pytest.raises(ResourceMissing):
        ask(world, new_id("ben"))
    with pytest.raises(ResourceMissing):
        ask(world, of, account_id=new_id("acct"))
    with world.database.begin() as connection, pytest.raises(ResourceMissing):
        wallet_proof.find(connection, new_id("wpf"), account_id=world.account, livemode=False)


def test_rows_come_back(world: World) -> None:
    proof = ask(world, entry(world, world.chain.payer.address.lower()))
    with world.database.begin() as connection:
        assert fetch(connection, store.awaited, limit=10) == [proof]
        assert store.final_payins(connection, [proof.payment_intent]) == []
