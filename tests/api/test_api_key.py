"""API keys over the wire."""

from sqlalchemy import text

from sakk.store.identity import new_id
from tests.api.world import Api


def test_a_secret_is_shown_once(api: Api) -> None:
    key = new_id("key")
    body = {"kind": "restricted", "name": "till", "scopes": ["customers:read", "customers:read"]}
    made = api.call("POST", "/v1/api_keys", json=body, headers={"Idempotency-Key": key}).json()
    assert made["secret"].startswith("rk_test_")
    assert made["secret"].endswith(made["last4"])
    assert made["scopes"] == ["customers:read"]
    again = api.call("POST", "/v1/api_keys", json=body, headers={"Idempotency-Key": key})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == {**made, "secret": None}
    assert api.call("GET", f"/v1/api_keys/{made['id']}").json()["secret"] is None
    assert api.call("GET", "/v1/customers", key=made["secret"]).status_code == 200


def test_the_database_holds_no_token(api: Api) -> None:
    made = api.call("POST", "/v1/api_keys", json={"kind": "secret"}).json()
    with api.database.begin() as connection:
        for table in ("api_keys", "idempotency_keys", "events"):
            rows = connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")).scalars()
            assert not [row for row in rows if made["secret"] in row]


def test_a_revoked_key(api: Api) -> None:
    made = api.call("POST", "/v1/api_keys", json={"kind": "secret"}).json()
    revoked = api.call("POST", f"/v1/api_keys/{made['id']}/revoke").json()
    assert revoked["revoked_at"] is not None
    again = api.call("POST", f"/v1/api_keys/{made['id']}/revoke").json()
    assert again["revoked_at"] == revoked["revoked_at"]
    assert api.call("GET", "/v1/customers", key=made["secret"]).status_code == 401


def test_what_is_refused(api: Api) -> None:
    for body, param in (
        ({}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["customers:delete"]}, "scopes[0]"),
        ({"kind": "secret", "scopes": ["customers:read"]}, "scopes"),
        ({"kind": "public"}, "kind"),
        ({"kind": "secret", "expires_at": 1}, "expires_at"),
        ({"kind": "secret", "allowed_addresses": ["10.0.0.1/8"]}, "allowed_addresses[0]"),
    ):
        answer = api.call("POST", "/v1/api_keys", json=body)
        assert answer.status_code == 400, body
        assert answer.json()["error"]["param"] == param


def test_a_restricted_key_makes_no_keys(api: Api) -> None:
    made = api.call(
        "POST", "/v1/api_keys", json={"scopes": ["api_keys:write", "api_keys:read"]}
    ).json()
    answer = api.call(
        "POST", "/v1/api_keys", key=made["secret"], json={"scopes": ["customers:read"]}
    )
    assert answer.status_code == 403


def test_the_operator_makes_a_key_for_an_account(api: Api) -> None:
    made = api.call(
        "POST",
        "/v1/api_keys",
        key=api.world.operator.key,
        headers={"Stripe-Account": api.world.bob.account},
        json={"kind": "secret"},
    ).json()
    assert made["account"] == api.world.bob.account
    answer = api.call("GET", "/v1/account", key=made["secret"])
    assert answer.json()["id"] == api.world.bob.account
