"""A channel of an agent's, from its first step to its end, with a death beside each step."""

import base64
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta

import coincurve

from sakk.client.session import call_mac, request_hash
from sakk.core import mandate as mandates
from sakk.core import session as rules
from sakk.core.evm import public_key_address
from sakk.core.mandate import Mandate, Terms
from sakk.core.session import Closing, Opening
from sakk.store.database import open_database
from sakk.store.identity import new_id, now
from sakk.store.mandate import insert
from tests.crash.house import Client, House, await_true
from tests.crash.job import Merchant, query

STEP = 300_000
TOTAL = 1_000_000


class Agent:
    """A key, and what it signs."""

    def __init__(self) -> None:
        self._key = coincurve.PrivateKey()
        self.address = public_key_address(self._key.public_key.format(compressed=False))

    def sign(self, digest: bytes) -> str:
        return self._key.sign_recoverable(digest, hasher=None).hex()


def give_mandate(house: House, account: str, agent: Agent) -> str:
    """A mandate as its owner's signature would have made it."""
    begin = int(time.time()) - 60
    terms = Terms(
        account_id=account,
        livemode=False,
        owner=agent.address,
        agent=agent.address,
        currency="usdc",
        decimals=6,
        total=TOTAL,
        starts_at=begin,
        expires_at=begin + 86_400,
        salt="0x" + os.urandom(32).hex(),
    )
    moment = now()
    row = Mandate(
        id=new_id(mandates.PREFIX),
        account_id=account,
        livemode=False,
        owner_key="ok_1",
        agent=agent.address,
        currency=terms.currency,
        terms=mandates.document(terms),
        signed=b"{}",
        digest=os.urandom(32),
        signature=bytes(65),
        status="active",
        replaces=None,
        replaced_by=None,
        revoked_at=None,
        revoked_by=None,
        description=None,
        metadata={},
        starts_at=moment,
        expires_at=moment + timedelta(days=1),
        created=moment,
    )
    database = open_database(house.database_url)
    try:
        with database.begin() as connection:
            insert(connection, row)
    finally:
        database.close()
    return row.id


def agents_channel(house: House, merchant: Merchant) -> Callable[[], None]:
    """Opened under a mandate by a signature, and closed: all of it, and the budget, is back."""
    operator = house.client(house.description["operator_key"])
    payee = operator.post("/v1/accounts", {"business_profile": {"name": "Seller"}})["id"]
    agent = Agent()
    mandate = give_mandate(house, merchant.account, agent)
    network = merchant.client.get("/x402/sessions")["network"]
    deadline = int(time.time()) + 500
    opening = Opening(
        network=network,
        signer=agent.address,
        mandate=mandate,
        channel="",
        payee=payee,
        currency="usdc",
        ceiling=STEP,
        salt=os.urandom(32),
        deadline=deadline,
    )
    told = merchant.client.post(
        "/x402/sessions",
        asdict(opening)
        | {
            "ceiling": str(STEP),
            "salt": opening.salt.hex(),
            "signature": agent.sign(rules.open_digest(opening)),
        },
    )
    assert (told["funded"], told["available"], told["status"]) == (str(STEP), str(STEP), "open")
    closing = Closing(
        network=network,
        channel=told["channel"],
        spent=0,
        charges=0,
        head=bytes.fromhex(told["head"]),
        deadline=deadline,
    )
    merchant.client.post(
        "/x402/sessions/close",
        asdict(closing)
        | {
            "spent": "0",
            "head": closing.head.hex(),
            "signature": agent.sign(rules.close_digest(closing)),
        },
    )

    def is_closed() -> bool:
        rows = query(house, "SELECT status, returned FROM channels WHERE id = %s", told["channel"])
        return [(each[0], int(each[1])) for each in rows] == [("closed", STEP)]

    await_true(is_closed, "the channel to be closed")

    def compare() -> None:
        left = query(
            house,
            "SELECT a.credits_posted - a.debits_posted FROM ledger_accounts a"
            " JOIN ledger_account_names n ON n.id = a.id WHERE n.name = ANY(%s) ORDER BY n.name",
            [f"channel:{told['channel']}#test/usdc", f"mandate:{mandate}:total#test/usdc"],
        )
        assert [int(units) for (units,) in left] == [0, TOTAL]

    return compare


def given_back(house: House, merchant: Merchant) -> Callable[[], None]:
    """Of a charge one part is refunded and another disputed, decided for the payer: all is back."""
    operator = house.client(house.description["operator_key"])
    payee = operator.post("/v1/accounts", {"business_profile": {"name": "Seller"}})["id"]
    seller = house.client(house.description["operator_key"], account=payee)
    body = {"payee": payee, "currency": "usdc", "amount": STEP}
    channel = merchant.client.post("/v1/channels", body)["id"]
    opened = merchant.client.post(f"/v1/channels/{channel}/sessions", {})
    session, key = opened["id"], base64.urlsafe_b64decode(opened["key"] + "=")
    request = request_hash("GET", "/")
    mac = call_mac(key, session, nonce=1, amount=1_000, payee=payee, request=request)
    paid = {"session": session, "nonce": "1"}
    reserve = {"amount": "1000", "currency": "usdc", "request_hash": request.hex()}
    call = paid | reserve | {"op": "reserve", "mac": mac.hex()}
    assert _charged(seller, call) == "reserved"
    # The ledger dies between the reservation and its commit, and forgets neither.
    house.kill("ledger")
    house.await_all()
    assert _charged(seller, call) == "nonce_used"
    assert _charged(seller, paid | {"op": "commit"}) == "committed"
    seller.post(f"/v1/channels/{channel}/refunds", paid | {"amount": 400})
    disputed = merchant.client.post(
        f"/v1/channels/{channel}/disputes", paid | {"reason": "It was empty."}
    )
    assert (disputed["amount"], disputed["held"]) == (600, True)
    path = f"/v1/channels/{channel}/disputes/{disputed['id']}/resolve"
    ended = operator.post(path, {"outcome": "refund", "note": "It was."})
    assert ended["status"] == "refunded"
    merchant.client.post(f"/v1/channels/{channel}/close", {})

    def is_closed() -> bool:
        return query(house, "SELECT status FROM channels WHERE id = %s", channel) == [("closed",)]

    await_true(is_closed, "the channel to be closed")

    def compare() -> None:
        rows = query(
            house,
            "SELECT amount, to_payer, status FROM charge_refunds WHERE channel_id = %s"
            " ORDER BY amount",
            channel,
        )
        assert [(int(amount), *rest) for amount, *rest in rows] == [
            (400, False, "posted"),
            (600, True, "posted"),
        ]

    return compare


def _charged(seller: Client, operation: dict[str, str]) -> str:
    """What became of one operation: its status, or the reason why not."""
    [result] = seller.post("/v1/charges", {"operations": [operation]})["results"]
    return str(result["reason"] or result["status"])
