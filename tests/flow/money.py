"""What tests of money going out need of a world: balances to spend, and what the chain says."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.harness import World
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import chart
from sakk.core.ledger import account_id
from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction
from sakk.flow import approval
from sakk.flow.book import Books, Outcome, PostingSet
from sakk.flow.word import Word
from sakk.store.database import fetch_one
from sakk.store.identity import new_id
from sakk.store.lease_length import lease_length
from sakk.store.transaction import transactions

# Nobody holds its key here; it has no coins at first.
BENEFICIARY = "0x8ba1f109551bd432803012645ac136ddd64dba72"
UNIT = chart.currency_unit("usdc", livemode=False)


def credit(world: World, whole: int = 100, *, account: str | None = None) -> None:
    """Give a merchant whole US dollars of USDC by a payment."""
    world.pay(world.intent(whole * 100, account=account))
    world.finalize()


def fund_treasury(world: World, whole: int = 1_000, token: str = "usdc") -> None:
    """The operator sends the treasury whole tokens, booked against equity."""
    world.pay(world.treasury, token, whole * WHOLE_TOKEN)
    world.finalize()


def rich(world: World, whole: int = 100, *, liquidity: int = 1_000) -> None:
    """A merchant with a balance and a treasury that can pay it out."""
    world.pay(world.treasury, "usdc", liquidity * WHOLE_TOKEN)
    credit(world, whole)


def units_at(world: World, address: str, token: str = "usdc") -> int:
    """Atomic units that the chain says an address holds now."""
    data = "0x70a08231" + address[2:].rjust(64, "0")
    call = {"to": world.contract(token), "data": data}
    return int(world.chain.rpc.call("eth_call", call, "latest"), 16)


def wei_at(world: World, address: str) -> int:
    """Native coin that the chain says an address holds now, in wei."""
    return int(world.chain.rpc.call("eth_getBalance", address, "latest"), 16)


def nonce_at(world: World, address: str) -> int:
    """How many transactions of an address are mined."""
    return int(world.chain.rpc.call("eth_getTransactionCount", address, "latest"), 16)


def payout_now(world: World, row: Payout) -> Payout:
    """A payout's row as it stands."""
    [found] = [each for each in world.payouts() if each.id == row.id]
    return found


def sweep_now(world: World, row: Sweep) -> Sweep:
    """A sweep's row as it stands."""
    [found] = [each for each in world.sweeps() if each.id == row.id]
    return found


def transaction_of(world: World, row: Payout | Sweep) -> ChainTransaction:
    """The transaction that carries a payout or sweep out."""
    with world.database.begin() as connection:
        found = fetch_one(
            connection,
            select(transactions).where(
                transactions.c.subject == row.id, transactions.c.status != "refused"
            ),
            ChainTransaction,
        )
    assert found is not None
    return found


def hold_total(world: World) -> int:
    """Pending debits of the merchant's available balance: what is reserved."""
    [account] = world.books.ledger.lookup_accounts(
        [account_id(chart.merchant(world.account, "available", UNIT).name)]
    )
    return 0 if account is None else account.debits_pending


def let_pass(world: World, seconds: int) -> None:
    """Time passes, and every stage runs: what was to be tried again is tried."""
    world.advance(timedelta(seconds=seconds))
    world.run()


def dies_with_the_answer(world: World, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """A worker dies when the ledger has booked what a stage asked for; then its lease runs out."""
    post = Books.post

    def dies(self: Books, sets: Sequence[PostingSet]) -> list[Outcome]:
        post(self, sets)
        raise RuntimeError("dies")

    monkeypatch.setattr(Books, "post", dies)
    with pytest.raises(RuntimeError, match="dies"):
        world.run_only(stage)
    monkeypatch.undo()
    world.advance(2 * lease_length())


def pending_in_pool(world: World) -> int:
    """How many transactions wait in the node's pool."""
    return int(send_rpc(world, "txpool_status")["pending"], 16)


def send_rpc(world: World, method: str, *parameters: Any) -> Any:
    """Ask the node for something that only a test asks for."""
    return world.chain.rpc.call(method, *parameters)


def judge(world: World, row: Payout, *, approve: bool, reason: str | None = None) -> Payout:
    """The word of the operator's key, without a person, on a payout that waits."""
    decide = approval.approve if approve else approval.reject
    return decide(
        world.parts,
        row.id,
        Word(Actor("key_operator"), comment=reason),
        approval_id=new_id("apr"),
        livemode=False,
    )
