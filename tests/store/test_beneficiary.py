"""The rows of the address book: what an account knows is found by index, whatever the size."""

from sqlalchemy import text

from sakk.core.beneficiary import lookalike_key
from sakk.core.payout import Payout
from sakk.store import beneficiary as store
from sakk.store.database import Database, insert_records
from sakk.store.identity import new_id, now
from sakk.store.payout import payouts

PAID = "0xabc4" + "0" * 32 + "1def"
REFUSED = "0xbbc4" + "0" * 32 + "1def"


def create_payout(destination: str, status: str) -> Payout:
    return Payout(
        id=new_id("po"),
        account_id="acct_1",
        livemode=False,
        amount=1,
        fee=0,
        currency="usdc",
        decimals=6,
        network="eip155:1",
        asset="eip155:1/erc20:0x" + "1" * 40,
        token_amount=1,
        destination=destination,
        fee_mode="sender",
        status=status,
        hold="none",
        metadata={},
        created=now(),
    )


def test_what_was_paid_is_known_and_found_by_index(database: Database) -> None:
    others = [create_payout(f"0x{number:040x}", "posted") for number in range(1, 2_000)]
    keys = [lookalike_key(PAID), lookalike_key(REFUSED)]
    with database.begin() as connection:
        asked = [create_payout(PAID, "posted"), create_payout(REFUSED, "rejected")]
        insert_records(connection, payouts, [*others, *asked])
        connection.execute(text("ANALYZE payouts"))
        known = store.find_known(connection, keys, account_id="acct_1", livemode=False)
        assert store.find_known(connection, keys, account_id="acct_2", livemode=False) == {}
        plan = connection.execute(
            text(
                "EXPLAIN SELECT DISTINCT destination FROM payouts WHERE account_id = 'acct_1' AND"
                " livemode = false AND substr(destination, 3, 3) || right(destination, 3)"
                " = ANY(CAST(:keys AS text[]))"
            ),
            {"keys": keys},
        ).all()
    assert {key: [each.address for each in found] for key, found in known.items()} == {
        lookalike_key(PAID): [PAID]
    }
    assert "ix_payouts_lookalike" in str(plan)
