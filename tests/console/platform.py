"""A platform and a merchant, as screens show them: a connection, and what was taken by it."""

from sakk.core.application_fee import ApplicationFee
from sakk.core.fee import FeeKind, FeeRule
from sakk.flow import account as accounts
from sakk.flow import connected_account as connected_accounts
from sakk.store import application_fee as fees
from sakk.store.identity import new_id, now
from tests.console.desk import HOSTILE
from tests.console.office import Office


def account_of(office: Office, name: str = HOSTILE) -> str:
    """Another merchant."""
    identifier = new_id("acct")
    with office.parts.database.begin() as connection:
        accounts.create(
            connection,
            account_id=identifier,
            livemode=False,
            now=now(),
            details={"name": name},
        )
    return identifier


def connected_to(office: Office, platform: str, account: str, *, accepted: bool = False) -> str:
    """A platform asks an account, which may have agreed: five percent at most, two by rule."""
    with office.parts.database.begin() as connection:
        made = connected_accounts.create(
            connection,
            identifier=new_id("cac"),
            platform=platform,
            account_id=account,
            livemode=False,
            permissions=["payments"],
            fee_ppm_max=50_000,
            written=[FeeRule(kind=FeeKind.payin, percent_ppm=20_000)],
            metadata={},
            by=None,
            now=now(),
        )
        if accepted:
            connected_accounts.accept(
                connection, made.id, account_id=account, livemode=False, now=now()
            )
    return made.id


def taken(office: Office, platform: str, account: str, connected: str) -> list[str]:
    """A fee of two percent of a payment, and half of it given back with a refund."""
    payment = new_id("pi")
    common = {
        "account_id": platform,
        "connected": account,
        "livemode": False,
        "connected_account": connected,
        "payment_intent": payment,
        "currency": "usdc",
        "decimals": 6,
        "version": 1,
        "rule": 1,
        "created": now(),
    }
    rows = [
        ApplicationFee(
            **common,  # type: ignore[arg-type]
            id=new_id("afee"),
            kind="payin",
            reason="charged",
            status="posted",
            source=new_id("pin"),
            basis=25_000_000,
            amount=500_000,
            parts=[{"label": "percent_20000ppm", "amount": 500_000}],
        ),
        ApplicationFee(
            **common,  # type: ignore[arg-type]
            id=new_id("afee"),
            kind="refund",
            reason="returned",
            status="pending",
            source=new_id("re"),
            basis=12_500_000,
            amount=-250_000,
            parts=[],
        ),
    ]
    with office.parts.database.begin() as connection:
        fees.insert(connection, rows)
    return [each.id for each in rows]


def platform_of(office: Office, platform: str) -> dict[str, str]:
    """A connection of a platform's to a merchant of its own, and a fee by it."""
    account = account_of(office)
    connected = connected_to(office, platform, account, accepted=True)
    connected_to(office, platform, account_of(office))
    return {
        "connected_account": connected,
        "application_fee": taken(office, platform, account, connected)[0],
    }
