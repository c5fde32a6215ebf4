"""A payer and a payee on one server: channels, sessions and calls, as tests make them."""

import base64
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyotp

from sakk.client.session import call_mac, receipt_mac, request_hash
from sakk.core import chart
from sakk.core.account import AccountKind
from sakk.core.api_key import KeyKind
from sakk.core.charge import AMOUNT_WHOLE, Op, Operation, Result, decode_results, encode_operation
from sakk.core.ledger import account_id
from sakk.core.person import PersonState
from sakk.core.role import Role
from sakk.core.session import uuid_bytes
from sakk.flow import account as accounts
from sakk.flow import api_key as api_keys
from sakk.flow.person import new_person
from sakk.store import freeze as freezes
from sakk.store import person as persons
from sakk.store.identity import new_id, now
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.world import Api, Tenant, http

RECORDS = {"Content-Type": "application/vnd.sakk.charges"}
REQUEST = request_hash("GET", "/weather?city=Bern")


def open_tenant(api: Api, name: str) -> Tenant:
    """An account of its own, with a secret key."""
    with api.database.begin() as connection:
        account = accounts.create(
            connection,
            account_id=new_id("acct"),
            livemode=False,
            now=now(),
            kind=AccountKind.merchant,
            details={"name": name},
        )
        _, token = api_keys.create(
            connection,
            key_id=new_id("key"),
            account_id=account.id,
            livemode=False,
            now=now(),
            kind=KeyKind.secret,
        )
    return Tenant(account.id, token)


def open_admin(api: Api, name: str) -> tuple[str, str, str]:
    """An admin, however many there are: the person's id, a key of theirs, their codes' secret."""
    identifier, secret = new_id("per"), pyotp.random_base32()
    person = replace(
        new_person(identifier, name, f"{identifier}@example.com", livemode=False, now=now()),
        roles=[Role.admin.value],
        state=PersonState.active.value,
        totp_secret=Vault(bytes(KEY_BYTES)).seal(secret, identifier),
    )
    with api.database.begin() as connection:
        persons.insert(connection, person)
        _, token = api_keys.create(
            connection,
            key_id=new_id("key"),
            account_id=api.world.operator.account,
            livemode=False,
            now=now(),
            kind=KeyKind.secret,
            person=identifier,
        )
    return identifier, token, secret


@dataclass(slots=True)
class Path:
    """A session on a channel from one account to another."""

    api: Api
    payer: Tenant
    payee: Tenant
    channel: str
    session: str
    key: bytes
    nonces: Iterator[int] = field(default_factory=itertools.count)

    def reserve(self, amount: int = 1_000, nonce: int | None = None, **changed: Any) -> Operation:
        """A reservation with its MAC."""
        number = next(self.nonces) if nonce is None else nonce
        mac = call_mac(
            self.key,
            self.session,
            nonce=number,
            amount=amount,
            payee=self.payee.account,
            request=REQUEST,
        )
        return Operation(
            Op.reserve, uuid_bytes(self.session), number, amount, 60, REQUEST, mac, b"usdc", 0
        )._replace(**changed)

    def end(self, reserved: Operation, amount: int = AMOUNT_WHOLE, units: int = 0) -> Operation:
        """A commit; of nothing it is a release."""
        op = Op.commit if amount else Op.release
        return reserved._replace(op=op, amount=amount, units=units)

    def ask(self, *operations: Operation, door: str | None = None) -> list[Result]:
        """What the payee's door is told."""
        headers = RECORDS | {"Authorization": f"Bearer {self.payee.key}"}
        body = b"".join(encode_operation(each) for each in operations)
        answer = http().post(f"{door or self.api.door}/v1/charges", headers=headers, content=body)
        assert answer.status_code == 200, answer.text
        return decode_results(answer.content)

    def is_genuine(self, operation: Operation, result: Result) -> bool:
        """Is the receipt of a reservation the authority's?"""
        mac = receipt_mac(
            self.key,
            self.session,
            step=1,
            nonce=operation.nonce,
            amount=operation.amount,
            units=0,
            payee=self.payee.account,
            request=REQUEST,
            timestamp=result.timestamp,
        )
        return mac == result.receipt

    def another_session(self) -> "Path":
        """A key and nonces of its own on the same channel."""
        made = call(self.api, self.payer, "POST", f"/v1/channels/{self.channel}/sessions")
        return Path(
            self.api, self.payer, self.payee, self.channel, made["id"], read_key(made["key"])
        )

    def standing(self) -> dict[str, Any]:
        """The channel as its payer sees it."""
        return call(self.api, self.payer, "GET", f"/v1/channels/{self.channel}")

    def balances(self) -> tuple[int, int, int]:
        """What payer, channel and payee have, by the ledger; what is held is the channel's."""
        unit = "test/usdc"
        names = [
            chart.merchant(self.payer.account, "available", unit),
            chart.channel(self.channel, unit, payer=self.payer.account),
            chart.merchant(self.payee.account, "available", unit),
        ]
        found = [
            http()
            .get(
                f"{self.api.url}/v1/ledger/accounts/{account_id(each.name):032x}",
                headers={"Authorization": f"Bearer {self.api.world.operator.key}"},
            )
            .json()
            for each in names
        ]
        first, second, third = (
            int(each["credits_posted"]) - int(each["debits_posted"]) for each in found
        )
        return first, second, third


def call(api: Api, who: Tenant, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """One request that succeeds."""
    options = {} if body is None else {"json": body}
    answer = api.call(method, path, key=who.key, **options)
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.content))


def read_key(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextmanager
def conserved(paths: Sequence[Path]) -> Iterator[None]:
    """Whatever happens: what payers, channels and payees have together stays the same."""
    before = [sum(each.balances()) for each in paths]
    yield
    assert [sum(each.balances()) for each in paths] == before


def open_path(api: Api, amount: int = 50_000, *, funds: int = 1_000_000, **more: Any) -> Path:
    """A fresh payer and payee with a channel and a session."""
    with api.database.begin() as connection:
        # Other tests stop everything, and leave it so.
        standing = [each.id for each in freezes.list_in_force(connection)]
        freezes.lift(connection, standing, reason="a test begins", now=now())
    payer, payee = open_tenant(api, "payer"), open_tenant(api, "payee")
    call(api, payer, "POST", "/v1/probes/fund", {"amount": funds})
    made = call(
        api,
        payer,
        "POST",
        "/v1/channels",
        {"payee": payee.account, "currency": "usdc", "amount": amount, **more},
    )
    session = call(api, payer, "POST", f"/v1/channels/{made['id']}/sessions")
    return Path(api, payer, payee, made["id"], session["id"], read_key(session["key"]))


def create_channel_objects(api: Api) -> dict[str, str]:
    """A channel of Alice's to the operator, with a call that was charged, refunded, disputed."""
    alice, seller = api.world.alice, api.world.operator
    body = {"payee": seller.account, "currency": "usdc", "amount": 100_000}
    channel = call(api, alice, "POST", "/v1/channels", body)["id"]
    session = call(api, alice, "POST", f"/v1/channels/{channel}/sessions")
    path = Path(api, alice, seller, channel, session["id"], read_key(session["key"]))
    paid = path.reserve(1_000)
    path.ask(paid, path.end(paid))
    said = {"session": path.session, "nonce": str(paid.nonce), "amount": 100}
    call(api, seller, "POST", f"/v1/channels/{channel}/refunds", said)
    said |= {"reason": "The answer was empty."}
    dispute = call(api, alice, "POST", f"/v1/channels/{channel}/disputes", said)
    return {"channel": channel, "channel_dispute": dispute["id"], "session": path.session}
