"""Money between accounts, as screens show it: a card with movements, a request, a bill, a name."""

from typing import Any

from sqlalchemy import Connection

from sakk.core.alias import AliasKind
from sakk.core.bill import Bill, Share
from sakk.core.gift_card import GiftCard, GiftCardMovement
from sakk.core.gift_card_batch import GiftCardBatch
from sakk.core.gift_card_breakage import Breakage, BreakageState
from sakk.flow import alias as aliases
from sakk.flow import bill as bills
from sakk.flow import money_request as requests
from sakk.store import gift_card as gift_cards
from sakk.store import gift_card_batch as batches
from sakk.store import gift_card_breakage as breakages
from sakk.store import network as networks
from sakk.store.identity import new_id, now
from tests.console.desk import HOSTILE, configure
from tests.console.office import Office

LINE = "<script>alert(1)</script>=1+1"


def _card(connection: Connection, card: str, whose: dict[str, Any]) -> None:
    """A card of fifty of which a quarter was redeemed."""
    gift_cards.insert(
        connection,
        GiftCard(
            **whose,
            id=card,
            amount=50_000_000,
            balance=37_500_001,
            currency="usdc",
            decimals=6,
            status="active",
            redeemable="issuer",
            country=None,
            expires_at=None,
            code_hash=new_id("hash"),
            hint="7k3m",
            replaces=None,
            metadata={},
            created=now(),
        ),
    )
    moved = (("issue", 50_000_000), ("redeem", 12_499_999), ("refund", 1), ("lapse", 1))
    for kind, amount in moved:
        gift_cards.insert_movement(
            connection,
            GiftCardMovement(
                **whose,
                id=new_id("gcm"),
                card=card,
                kind=kind,
                amount=amount,
                currency="usdc",
                decimals=6,
                other=None,
                status="posted",
                failure_code=None,
                description=HOSTILE,
                metadata={},
                created=now(),
            ),
        )


def _batch(connection: Connection, whose: dict[str, Any]) -> str:
    """Fifty cards that are issued, whose codes nobody took."""
    made = GiftCardBatch(
        **whose,
        id=new_id("gcb"),
        cards=50,
        rejected=1,
        amount=50_000_000,
        currency="usdc",
        decimals=6,
        active=False,
        status="posted",
        codes_taken_at=None,
        metadata={},
        created=now(),
    )
    batches.insert(connection, made, [], [])
    return made.id


def _breakage(connection: Connection) -> str:
    """A policy that waits for a second person, and one in force."""
    states = (("DE", BreakageState.proposed), ("NZ", BreakageState.active))
    ids = [new_id("gbr") for _ in states]
    for identifier, (country, state) in zip(ids, states, strict=True):
        breakages.end_active(connection, country, livemode=False)
        made = Breakage(
            id=identifier,
            livemode=False,
            country=country,
            days=90,
            note=LINE,
            state=state.value,
            proposed_by="per_somebody",
            created=now(),
            decided_by=None,
            decided_at=None,
        )
        breakages.insert(connection, made)
    return ids[0]


def closed_loop_of(office: Office, account: str, other: str) -> dict[str, str]:
    """One of each of an account's; another account is asked."""
    whose: dict[str, Any] = {"account_id": account, "livemode": False}
    ids = {name: new_id(prefix) for name, prefix in (("gift_card", "gc"), ("bill", "bill"))}
    with office.parts.database.begin() as connection:
        if not networks.list_currencies(connection):
            configure(connection)
        _card(connection, ids["gift_card"], whose)
        ids["gift_card_batch"] = _batch(connection, whose)
        ids["gift_card_breakage"] = _breakage(connection)
        asked = requests.create(
            connection,
            requests.Asked(other, 5_000_001, "usdc", LINE),
            identifier=new_id("mreq"),
            account_id=account,
            livemode=False,
            now=now(),
        )
        bills.split(
            connection,
            Bill(
                **whose,
                id=ids["bill"],
                amount=10_000_000,
                own_share=0,
                currency="usdc",
                decimals=6,
                note=LINE,
                metadata={},
                created=now(),
            ),
            [Share(other), Share("nobody@example.com")],
            own_amount=None,
            own_weight=1,
            expires_at=None,
            share_id=lambda _: new_id("mreq"),
        )
        alias = aliases.create(
            connection,
            identifier=new_id("als"),
            account_id=account,
            livemode=False,
            kind=AliasKind.email,
            value=f"{account[-8:]}@example.com",
            metadata={},
            now=now(),
        )
    return {**ids, "money_request": asked.id, "alias": alias.id}
