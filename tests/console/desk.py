"""What a merchant's desk shows: payments of every kind, told and booked, with hostile names."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from sakk.bench.console_fill import put_network
from sakk.bench.sql_words import ASSET as ASSET
from sakk.bench.sql_words import NETWORK as NETWORK
from sakk.core.customer import Customer
from sakk.core.event import NewEvent
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent
from sakk.flow import webhook as webhooks
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store.customer import insert_customer
from sakk.store.database import insert_records
from sakk.store.identity import new_id, now
from tests.console.office import Office

UNLISTED = f"{NETWORK}/erc20:0x00000000000000000000000000000000000000ff"
HOSTILE = "<script>alert(1)</script>\u202egnp.exe"
FORMULA = '=HYPERLINK("http://evil.example")'
LONG = "w" * 500


@dataclass(frozen=True, slots=True)
class Desk:
    """The ids of Alice's objects."""

    customer: str
    paid: str
    waiting: str
    short: str
    payin: str
    held: str
    late: str
    unlisted: str
    endpoint: str
    delivery: str
    event: str


def intent_of(office: Office, number: int, status: str, **more: Any) -> PaymentIntent:
    at = now() - timedelta(minutes=number)
    return PaymentIntent(
        **{
            "id": new_id("pi"),
            "account_id": office.alice,
            "livemode": False,
            "amount": 12_345_678_901_234_567,
            "currency": "usdc",
            "decimals": 6,
            "status": status,
            "amount_received": 0,
            "amount_status": None,
            "timing": None,
            "quotes": [],
            "networks": [NETWORK],
            "address": f"0x{number:040x}",
            "customer": None,
            "description": None,
            "metadata": {},
            "cancellation_reason": None,
            "expires_at": at + timedelta(hours=1),
            "canceled_at": None,
            "succeeded_at": None,
            "created": at,
            **more,
        }
    )


def payin_of(office: Office, number: int, intent: str | None, status: str, **more: Any) -> PayIn:
    at = now()
    return PayIn(
        **{
            "id": new_id("pin"),
            "account_id": office.alice,
            "livemode": False,
            "network": NETWORK,
            "asset": ASSET,
            "contract": None,
            "currency": "usdc",
            "decimals": 6,
            "token_amount": 12_345_678_901_234_567,
            "amount": 12_345_678_901_234_567,
            "address": f"0x{number:040x}",
            "sender": f"0x{number + 900:040x}",
            "tx_hash": f"0x{number:064x}",
            "log_index": number,
            "block_number": 100 + number,
            "block_hash": f"0x{number:064x}",
            "block_timestamp": int(at.timestamp()),
            "status": status,
            "role": "payment",
            "payment_intent": intent,
            "created": at,
            **more,
        }
    )


def configure(connection: Connection) -> None:
    """A currency, a network that is followed, and a token on it."""
    put_network(connection)
    connection.execute(
        text(
            "UPDATE network_cursors SET block_number = 105, block_timestamp = 1767225600,"
            " head_number = 106, checked = :now WHERE network = :network"
        ),
        {"network": NETWORK, "now": now()},
    )


def _endpoint(connection: Connection, office: Office) -> str:
    made = webhooks.create(
        connection,
        account_id=office.alice,
        livemode=False,
        url="https://shop.example/hooks",
        enabled_events=["*"],
        description=HOSTILE,
        allow_loopback=False,
        now=now(),
    )
    return made.id


def _tell(connection: Connection, office: Office, payment: str) -> tuple[str, str]:
    """An event of a payment and its delivery."""
    told = NewEvent(
        type="payment_intent.succeeded",
        object_id=payment,
        object={"id": payment, "object": "payment_intent", "description": HOSTILE},
        account_id=office.alice,
        livemode=False,
    )
    [event] = events.append(connection, [told], now=now())
    delivery = connection.execute(
        text("SELECT id FROM webhook_deliveries WHERE event_id = :event"), {"event": event}
    ).scalar_one()
    return event, str(delivery)


def _intents(office: Office, customer: str) -> tuple[PaymentIntent, PaymentIntent, PaymentIntent]:
    at = now()
    paid = intent_of(
        office,
        1,
        "succeeded",
        amount_received=12_345_678_901_234_567,
        amount_status="exact",
        timing="on_time",
        customer=customer,
        description=HOSTILE,
        metadata={"order": "77", HOSTILE[:30]: LONG},
        succeeded_at=at,
    )
    waiting = intent_of(office, 2, "requires_action", description=FORMULA)
    short = intent_of(
        office, 3, "processing", amount_received=1, amount_status="under", description=LONG
    )
    return paid, waiting, short


def _payins(office: Office, paid: str, short: str) -> tuple[PayIn, PayIn, PayIn, PayIn]:
    at = now()
    good = payin_of(
        office,
        1,
        paid,
        "posted",
        credit_units=12_345_678_901_234_567,
        confirmed_at=at,
        screened_at=at,
        posted_at=at,
    )
    held = payin_of(office, 3, short, "held", reason="screening_block", confirmed_at=at)
    late = payin_of(
        office,
        4,
        None,
        "posted",
        role="late",
        reason="late_refund_due",
        suspense_units=5,
        posted_at=at,
    )
    unlisted = payin_of(
        office,
        5,
        None,
        "held",
        role="unlisted",
        reason="unlisted",
        asset=UNLISTED,
        currency=None,
        decimals=None,
        amount=None,
    )
    return good, held, late, unlisted


def make_desk(office: Office) -> Desk:
    """Fill the database for Alice."""
    at = now()
    customer = Customer(
        new_id("cus"), office.alice, False, HOSTILE, "ann@example.com", FORMULA, {}, False, at
    )
    paid, waiting, short = _intents(office, customer.id)
    good, held, late, unlisted = _payins(office, paid.id, short.id)
    with office.parts.database.begin() as connection:
        configure(connection)
        insert_customer(connection, customer)
        endpoint = _endpoint(connection, office)
        for intent in (paid, waiting, short):
            payments.insert(connection, intent)
        connection.execute(
            text(
                "INSERT INTO addresses (id, family, address, purpose, key_index, account_id,"
                " livemode, payment_intent, created) VALUES ('addr_1', 'eip155', :address,"
                " 'payment', 2, :account, false, :intent, :now)"
            ),
            {
                "address": waiting.address,
                "account": office.alice,
                "intent": waiting.id,
                "now": at,
            },
        )
        insert_records(connection, payins.payins, [good, held, late, unlisted])
        event, delivery = _tell(connection, office, paid.id)
    return Desk(
        customer.id,
        paid.id,
        waiting.id,
        short.id,
        good.id,
        held.id,
        late.id,
        unlisted.id,
        endpoint,
        delivery,
        event,
    )
