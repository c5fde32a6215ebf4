"""Keys: who may ask, for which account, from where, how often."""

import base64
import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from sakk.api.authentication import Authenticator, read_token
from sakk.api.limit import Limits
from sakk.core.account import AccountKind
from sakk.core.api_key import KeyKind
from sakk.core.errors import AuthenticationFailed, RateLimited
from sakk.flow import account as account_flow
from sakk.flow import api_key as flow
from sakk.pages.limit import TokenBuckets
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from tests.api.world import Api, create_world, serving


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer pk_test_abc",
        "Bearer sk_test_a b",
        "Digest sk_test_abc",
        "Basic !!!",
        "Basic " + base64.b64encode("é:".encode()).decode(),
        "Basic " + base64.b64encode(b"user:sk_test_abc").decode(),
    ],
)
def test_headers_that_hold_no_key(header: str | None) -> None:
    with pytest.raises(AuthenticationFailed):
        read_token(header)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sk_test_abc",
        "bearer  sk_test_abc",
        "Basic c2tfdGVzdF9hYmM6",
        "Basic c2tfdGVzdF9hYmM=",
    ],
)
def test_headers_that_hold_a_key(header: str) -> None:
    assert read_token(header) == "sk_test_abc"


def test_token_buckets_refill() -> None:
    clock = Clock()
    buckets = TokenBuckets(rate=2, burst=3, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    clock.seconds += 0.4
    assert not buckets.has("a")
    clock.seconds += 0.1
    assert buckets.has("a")
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    clock.seconds += 1_000
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_limits_are_shared_between_processes() -> None:
    clock = Clock()
    limits = Limits(requests_per_second=10, failures_per_minute=None, processes=5, clock=clock)
    limits.count_request("key_1")
    limits.count_request("key_1")
    with pytest.raises(RateLimited):
        limits.count_request("key_1")
    limits.count_request("key_2")
    limits.check_failures("1.1.1.1")


def test_failures_are_counted_by_address() -> None:
    clock = Clock()
    limits = Limits(requests_per_second=None, failures_per_minute=2, processes=1, clock=clock)
    for _ in range(2):
        limits.check_failures("1.1.1.1")
        limits.count_failure("1.1.1.1")
    with pytest.raises(RateLimited) as caught:
        limits.check_failures("1.1.1.1")
    assert caught.value.retry_after_seconds == 60
    limits.check_failures("2.2.2.2")
    clock.seconds += 60
    limits.check_failures("1.1.1.1")


def _key(database: Database, **options: object) -> tuple[str, str, str]:
    """An account with a key: the account's id, the key's id, the token."""
    with database.begin() as connection:
        account = account_flow.create(
            connection, account_id=new_id("acct"), livemode=False, now=now()
        )
        key, token = flow.create(
            connection,
            key_id=new_id("key"),
            account_id=account.id,
            livemode=False,
            now=now(),
            **options,  # type: ignore[arg-type]
        )
    return account.id, key.id, token


def test_a_revocation_is_seen_within_a_second(database: Database) -> None:
    account, key_id, token = _key(database)
    clock = Clock()
    limits = Limits(requests_per_second=None, failures_per_minute=None, processes=1)
    authenticator = Authenticator(database, limits, clock)

    def ask() -> str:
        caller = authenticator.caller(
            authorization=f"Bearer {token}", stripe_account=None, address=None, now=now()
        )
        return caller.account_id

    assert ask() == account
    with database.begin() as connection:
        flow.revoke(connection, key_id, account_id=account, livemode=False, now=now())
    clock.seconds += 1.0
    with pytest.raises(AuthenticationFailed, match="was revoked"):
        ask()


def test_a_key_in_use_is_looked_up_again_beside_its_requests(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no request waits for the database once a second; what the look-up finds counts at once."""
    account, key_id, token = _key(database)
    clock = Clock()
    limits = Limits(requests_per_second=None, failures_per_minute=1, processes=1)
    authenticator = Authenticator(database, limits, clock)
    started: list[threading.Thread] = []

    class Thread(threading.Thread):
        def start(self) -> None:
            started.append(self)
            super().start()

    monkeypatch.setattr("sakk.api.authentication.threading.Thread", Thread)

    def at_once() -> str | None:
        caller = authenticator.caller_at_once(
            authorization=f"Bearer {token}", address=None, now=now()
        )
        return None if caller is None else caller.account_id

    assert at_once() is None
    authenticator.caller(
        authorization=f"Bearer {token}", stripe_account=None, address=None, now=now()
    )
    for _ in range(3):
        clock.seconds += 0.6
        assert at_once() == account
        started[-1].join()
    assert len(started) == 3
    with database.begin() as connection:
        connection.execute(text("DELETE FROM api_keys WHERE id = :id"), {"id": key_id})
    clock.seconds += 0.6
    assert at_once() == account
    started[-1].join()
    assert at_once() is None


def test_too_many_wrong_keys_from_one_address_do_not_lock_out_known_ones(
    database: Database,
) -> None:
    _, _, token = _key(database)
    limits = Limits(requests_per_second=None, failures_per_minute=1, processes=1, clock=Clock())
    authenticator = Authenticator(database, limits, Clock())

    def ask(with_token: str) -> None:
        authenticator.caller(
            authorization=f"Bearer {with_token}", stripe_account=None, address="1.1.1.1", now=now()
        )

    ask(token)
    with pytest.raises(AuthenticationFailed):
        ask("sk_test_wrong")
    with pytest.raises(RateLimited):
        ask("sk_test_wrong")
    ask(token)


def test_keys_expire(database: Database) -> None:
    _, _, token = _key(database, expires_at=now() + timedelta(minutes=1))
    limits = Limits(requests_per_second=None, failures_per_minute=None, processes=1)
    authenticator = Authenticator(database, limits)
    for moment, usable in ((now(), True), (now() + timedelta(minutes=1), False)):
        if usable:
            authenticator.caller(
                authorization=f"Bearer {token}", stripe_account=None, address=None, now=moment
            )
        else:
            with pytest.raises(AuthenticationFailed, match="expired"):
                authenticator.caller(
                    authorization=f"Bearer {token}", stripe_account=None, address=None, now=moment
                )


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer sk_test_nobody"}])
def test_no_key_is_401(api: Api, header: dict[str, str]) -> None:
    answer = api.call("GET", "/v1/customers", headers={"Authorization": "", **header})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_as_the_user_of_basic(api: Api) -> None:
    credentials = base64.b64encode(f"{api.world.alice.key}:".encode()).decode()
    answer = api.call("GET", "/v1/account", headers={"Authorization": f"Basic {credentials}"})
    assert answer.json()["id"] == api.world.alice.account


def test_a_key_is_not_said_in_answers(api: Api) -> None:
    wrong = api.world.alice.key[:-1] + ("a" if api.world.alice.key[-1] != "a" else "b")
    answer = api.call("GET", "/v1/customers", key=wrong)
    assert answer.status_code == 401
    assert wrong not in answer.text


def test_the_operator_acts_for_an_account(api: Api) -> None:
    operator = api.stripe(api.world.operator.key, stripe_account=api.world.alice.account)
    customer = operator.v1.customers.create({"name": "For Alice"})
    assert api.stripe().v1.customers.retrieve(customer.id).name == "For Alice"
    assert operator.v1.accounts.retrieve_current().id == api.world.alice.account


@pytest.mark.parametrize("who", ["operator", "alice"])
def test_acting_for_an_account_that_is_not_ones_own_or_not_there(api: Api, who: str) -> None:
    tenant = getattr(api.world, who)
    target = "acct_nobody" if who == "operator" else api.world.bob.account
    answer = api.call("GET", "/v1/customers", key=tenant.key, headers={"Stripe-Account": target})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "account_invalid"
    own = api.call(
        "GET", "/v1/customers", key=tenant.key, headers={"Stripe-Account": tenant.account}
    )
    assert own.status_code == 200


def test_modes_are_apart(api: Api) -> None:
    test = api.stripe().v1.customers.create({"name": "Test"})
    live = api.stripe(api.world.live_key)
    assert live.v1.accounts.retrieve_current().id == api.world.alice.account
    answer = api.call("GET", f"/v1/customers/{test.id}", key=api.world.live_key)
    assert answer.status_code == 404
    networks = api.call("GET", "/v1/networks", key=api.world.live_key).json()["data"]
    assert [network["id"] for network in networks] == ["eip155:8453"]


def test_rate_limits_and_wrong_keys_over_the_wire(database_url: str, database: Database) -> None:
    world = create_world(database)
    with serving(database_url, PROBE_RATE_LIMIT="2", PROBE_FAILURE_LIMIT="1") as (url, _):
        api = Api(url=url, world=world, database=database)
        answers = [api.call("GET", "/v1/currencies") for _ in range(8)]
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited
        assert limited[0].headers["retry-after"] == "1"
        assert limited[0].json()["error"]["type"] == "rate_limit_error"
        assert api.call("GET", "/v1/currencies", key="sk_test_nobody").status_code == 401
        assert api.call("GET", "/v1/currencies", key="sk_test_nobody").status_code == 429


def test_an_allow_list_of_addresses(api: Api) -> None:
    body = {"kind": "restricted", "scopes": ["customers:read"]}
    for allowed, status in (("127.0.0.0/8", 200), ("192.0.2.0/24", 401)):
        made = api.call("POST", "/v1/api_keys", json={**body, "allowed_addresses": [allowed]})
        assert api.call("GET", "/v1/customers", key=made.json()["secret"]).status_code == status


def test_the_kind_of_an_account_is_what_makes_an_operator(database: Database) -> None:
    with database.begin() as connection:
        account = account_flow.create(
            connection,
            account_id=new_id("acct"),
            livemode=False,
            now=now(),
            kind=AccountKind.operator,
        )
        _, token = flow.create(
            connection,
            key_id=new_id("key"),
            account_id=account.id,
            livemode=False,
            now=now(),
            kind=KeyKind.restricted,
            scopes=["customers:read"],
        )
    limits = Limits(requests_per_second=None, failures_per_minute=None, processes=1)
    caller = Authenticator(database, limits).caller(
        authorization=f"Bearer {token}", stripe_account=None, address=None, now=now()
    )
    assert caller.is_operator
