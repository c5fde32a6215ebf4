"""What is charged and settled, as objects of the API."""

from sakk.core import fee as fee_rules
from sakk.core.fee import Fee, FeeKind, FeeRule
from sakk.flow import fee as fees
from sakk.store.fee import insert_fees
from sakk.store.identity import new_id, now
from tests.api.world import Api


def put_fees(api: Api) -> dict[str, str]:
    """A schedule that charges nobody, and a fee of Alice's by it."""
    schedule = new_id(fee_rules.SCHEDULE_PREFIX)
    moment = now()
    fee = Fee(
        id=new_id(fee_rules.PREFIX),
        account_id=api.world.alice.account,
        livemode=False,
        kind=FeeKind.payin.value,
        reason="charged",
        source=new_id("pin"),
        currency="usdc",
        decimals=6,
        basis=1_000_000,
        amount=5_000,
        schedule=schedule,
        version=1,
        rule=1,
        parts=[{"label": "percent_5000ppm", "amount": 5_000}],
        created=moment,
    )
    with api.database.begin() as connection:
        fees.create_schedule(
            connection,
            identifier=schedule,
            name="Standard",
            written=[FeeRule(percent_ppm=5_000)],
            effective_at=None,
            metadata={},
            by=None,
            now=moment,
        )
        insert_fees(connection, [fee])
    return {"fee_schedule": schedule, "fee": fee.id}
