"""What an account's agents may spend, spent, and paid."""

from dataclasses import dataclass, replace
from datetime import timedelta

from sakk.core.session import Session, handle_of
from sakk.flow import refill as refills
from sakk.store import channel as channels
from sakk.store import mandate as mandates
from sakk.store import session as sessions
from sakk.store import x402_payment as x402_payments
from sakk.store.identity import new_id, now
from tests.console.desk import HOSTILE
from tests.console.office import Office
from tests.core.test_channel import CHANNEL
from tests.core.test_mandate import TERMS, mandate
from tests.core.test_x402_payment import payment


@dataclass(frozen=True, slots=True)
class Agents:
    """The ids of them."""

    mandate: str
    channel: str
    payment: str
    session: str
    refill: str


def agents_of(office: Office, account: str, *, is_refilled: bool = True) -> Agents:
    """A mandate in force, a channel with a rule that refills it, and a payment by HTTP 402."""
    ids = Agents(*(new_id(each) for each in ("mnd", "ch", "xp", "ses", "rfl")))
    moment = now()
    begin = int(moment.timestamp()) - 60
    terms = replace(TERMS, account_id=account, starts_at=begin, expires_at=begin + 86_400)
    made = mandate(
        terms,
        id=ids.mandate,
        digest=ids.mandate.encode(),
        description=HOSTILE,
        starts_at=moment - timedelta(minutes=1),
        expires_at=moment + timedelta(days=1),
        created=moment,
    )
    opened = replace(
        CHANNEL,
        id=ids.channel,
        account_id=account,
        payee=office.operator,
        livemode=False,
        mandate=ids.mandate if is_refilled else None,
        spent=0,
        charges=0,
        head_ns=0,
        created=moment,
    )
    key = Session(
        id=ids.session,
        channel_id=ids.channel,
        handle=handle_of(ids.session),
        salt=bytes(32),
        expires_at=moment + timedelta(days=1),
        created=moment,
    )
    paid = payment(
        id=ids.payment,
        account_id=account,
        nonce="0x" + ids.payment[-26:].encode().hex().rjust(64, "0"),
        status="reserved",
        resource=HOSTILE,
    )
    with office.parts.database.begin() as connection:
        assert mandates.insert(connection, made)
        channels.insert(connection, opened)
        sessions.insert(connection, key)
        assert x402_payments.reserve(connection, [paid])
        if is_refilled:
            refills.create(
                connection,
                ids.channel,
                below=10_000,
                up_to=50_000,
                identifier=ids.refill,
                account_id=account,
                livemode=False,
                now=moment,
            )
    return ids
