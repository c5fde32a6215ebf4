"""Rows of money on its way out, which the API alone does not get to: no worker is part of these
tests."""

from sakk.core.approval import Approval
from sakk.core.recovery import Recovery
from sakk.core.transaction import ChainTransaction, TransactionStatus
from sakk.core.withdrawal import Withdrawal
from sakk.store.approval import insert as insert_approvals
from sakk.store.identity import new_id, now
from sakk.store.policy import find_active
from sakk.store.recovery import insert as insert_recovery
from sakk.store.transaction import insert as insert_transaction
from sakk.store.withdrawal import insert as insert_withdrawal
from tests.api.world import ADDRESS, NETWORK, USDC, Api


def transaction(api: Api, payout: str) -> str:
    """What carries the payout: no chain is part of these tests."""
    row = ChainTransaction(
        id=new_id("tx"),
        livemode=False,
        network=NETWORK,
        purpose="payout",
        subject=payout,
        account_id=api.world.alice.account,
        sender=ADDRESS,
        key_branch="treasury",
        key_index=0,
        nonce=int(payout[-2:], 36),
        asset=f"{NETWORK}/erc20:{USDC}",
        destination=ADDRESS,
        token_amount=1_000_000,
        gas_limit=80_000,
        max_fee_per_gas=2,
        max_priority_fee_per_gas=1,
        unsigned=b"",
        since_block=1,
        raw=b"",
        hash="0x" + new_id("tx")[-26:].encode().hex()[:64],
        status=TransactionStatus.broadcast.value,
        created=now(),
    )
    with api.database.begin() as connection:
        insert_transaction(connection, row)
    return row.id


def approve(api: Api, payout: str) -> None:
    """A word on a payout: the workers that would let it wait are not part of these tests."""
    approval = Approval(
        id=new_id("apr"),
        account_id=api.world.alice.account,
        livemode=False,
        subject=payout,
        verdict="approve",
        actor="operator",
        key="key_1",
        role="operator",
        method="key",
        digest="00" * 32,
        public_key=None,
        signature=None,
        comment=None,
        created=now(),
    )
    with api.database.begin() as connection:
        insert_approvals(connection, [approval])


def withdrawal(api: Api) -> str:
    """A withdrawal that waits for people: the ledger holds no coins in these tests."""
    row = Withdrawal(
        id=new_id("wd"),
        livemode=False,
        network=NETWORK,
        asset=f"{NETWORK}/erc20:{USDC}",
        destination=ADDRESS.lower(),
        token_amount=1_000_000,
        currency="usdc",
        decimals=6,
        amount=1_000_000,
        status="screened",
        approvals_needed=1,
        approver_role="operator",
        decided_at=now(),
        created=now(),
    )
    with api.database.begin() as connection:
        insert_withdrawal(connection, row)
    return row.id


def recovery(api: Api, token: str = "77" * 20) -> str:
    """A recovery that waits for people: nodes are not part of these tests."""
    with api.database.begin() as connection:
        active = find_active(connection, livemode=False)
    row = Recovery(
        id=new_id("rec"),
        livemode=False,
        network=NETWORK,
        asset=f"{NETWORK}/erc20:0x{token}",
        address=ADDRESS,
        key_index=0,
        token_amount=7,
        symbol="TKN",
        decimals=0,
        source="unbooked",
        account_id=api.world.alice.account,
        payment_intent=None,
        payin=None,
        status="pending",
        destination="0x" + "ab" * 20,
        # By the version in force: another would judge it anew.
        policy_version=None if active is None else active.id,
        approvals_needed=1,
        approver_role="operator",
        decided_at=now(),
        created=now(),
    )
    with api.database.begin() as connection:
        insert_recovery(connection, row)
    return row.id


def batch_body() -> dict[str, object]:
    """A batch of one payout, and of one line that is left out, so that there is such a line."""
    line = {
        "amount": 1_000_000,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": ADDRESS},
    }
    return {"lines": [line, line | {"currency": "eur"}], "on_invalid": "skip"}
