"""What is charged and settled, as objects of the API."""

from datetime import timedelta

from sakk.core import application_fee as application_fee_rules
from sakk.core import fee as fee_rules
from sakk.core import report as report_rules
from sakk.core import settlement as settlement_rules
from sakk.core.application_fee import ApplicationFee
from sakk.core.fee import Fee, FeeKind, FeeRule
from sakk.core.payout import Initiator
from sakk.core.report import ReportForm, ReportKind, ReportParameters
from sakk.core.settlement import Interval, SettlementTerms
from sakk.flow import fee as fees
from sakk.flow import report as reports
from sakk.flow import settlement as settlements
from sakk.flow.context import Parts
from sakk.ledger.projection import catch_up
from sakk.store.application_fee import insert as insert_application_fees
from sakk.store.fee import insert_fees
from sakk.store.identity import new_id, now
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.paying import call
from tests.api.world import Api


def put_settlement(api: Api) -> dict[str, str]:
    """What Alice has is settled and kept on her balance."""
    with api.database.begin() as connection:
        settlements.put_schedule(
            connection,
            SettlementTerms(interval=Interval.manual),
            identifier=new_id(settlement_rules.SCHEDULE_PREFIX),
            account_id=api.world.alice.account,
            livemode=False,
            held=False,
            now=now(),
            initiator=Initiator(),
        )
    made = settlements.create(
        Parts(api.database),
        identifier=new_id(settlement_rules.PREFIX),
        account_id=api.world.alice.account,
        livemode=False,
        currency="usdc",
    )
    return {"settlement": made.id} | put_report(api)


def put_report(api: Api) -> dict[str, str]:
    """What Alice was charged, as a file."""
    moment = now()
    with api.database.begin() as connection:
        made = reports.create(
            connection,
            ReportKind.fees,
            ReportForm.csv,
            ReportParameters(start=moment - timedelta(days=1), end=moment - timedelta(hours=1)),
            identifier=new_id(report_rules.PREFIX),
            account_id=api.world.alice.account,
            livemode=False,
            is_operator=False,
            requested_by=None,
            metadata={},
            now=moment,
        )
    parts = Parts(api.database, vault=Vault(bytes(KEY_BYTES)))
    assert reports.report_stage(parts).run() == 1
    return {"report": made.id, "file": reports.file_of(made), "chart_mapping": "active"}


def put_conversion(api: Api) -> dict[str, str]:
    """A price that was asked for, and a conversion by it, which left the operator a position."""
    alice = api.world.alice
    call(api, alice, "POST", "/v1/probes/fund", {"amount": 1_000_000})
    wish = {"source_currency": "usdc", "target_currency": "usd", "amount": 1_000_000}
    quote = call(api, alice, "POST", "/v1/conversion_quotes", wish)["id"]
    made = call(api, alice, "POST", "/v1/conversions", {"quote": quote})["id"]
    catch_up(api.database.url)
    return {"conversion_quote": quote, "conversion": made}


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
    return {"fee_schedule": schedule, "fee": fee.id} | put_platform(api)


def put_platform(api: Api) -> dict[str, str]:
    """Alice asks an account to be its platform, and a fee that she took of it once."""
    opened = call(api, api.world.operator, "POST", "/v1/accounts", {})["id"]
    asked = {"account": opened, "permissions": ["payments"], "application_fee_ppm_max": 100_000}
    connected = call(api, api.world.alice, "POST", "/v1/connected_accounts", asked)["id"]
    fee = ApplicationFee(
        id=new_id(application_fee_rules.PREFIX),
        account_id=api.world.alice.account,
        connected=opened,
        livemode=False,
        connected_account=connected,
        kind=FeeKind.payin.value,
        reason="charged",
        status="posted",
        source=new_id("pin"),
        payment_intent=None,
        currency="usdc",
        decimals=6,
        basis=1_000_000,
        amount=5_000,
        version=None,
        rule=None,
        parts=[{"label": "application_fee_amount", "amount": 5_000}],
        created=now(),
    )
    with api.database.begin() as connection:
        insert_application_fees(connection, [fee])
    return {"connected_account": connected, "application_fee": fee.id}
