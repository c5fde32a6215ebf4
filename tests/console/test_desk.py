"""The merchant's desk: each screen shows what is there, to whom it belongs, and no more."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, text

from sakk.core import ids
from sakk.core.api_key import token_hash
from sakk.core.money import Rate
from sakk.core.payment import Quote
from sakk.core.webhook import ROTATION_OVERLAP_SECONDS_MAX
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.flow.webhook import rotate_secret
from sakk.ledger.writer import open_ledger
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import webhook as webhooks
from sakk.store.api_key import find_principal
from sakk.store.database import Database, insert_records
from sakk.store.webhook import webhook_attempts, webhook_deliveries, webhook_endpoints
from tests.console.browser import Browser, Got
from tests.console.desk import FORMULA, HOSTILE, LONG, Desk, intent_of, make_desk, payin_of
from tests.console.objects import refund_of
from tests.console.office import Meeting, Office, make_office
from tests.flow.policing import ASSET, NETWORK

EXACT = "12,345,678,901.234567"
# What a merchant's people never read.
TIPPING = ("held", "screening", "screening_block", "quarantine", "seized", "returned")
LISTS = (
    "/console",
    "/console/payments",
    "/console/payins",
    "/console/exceptions",
    "/console/customers",
    "/console/customers/new",
    "/console/balances",
    "/console/statement",
    "/console/keys",
    "/console/webhooks",
    "/console/events",
    "/console/requests",
)
OPERATORS = ("/console/ledger", "/console/journal")


@pytest.fixture(scope="module")
def office(module_database: Database) -> Iterator[Office]:
    """The console with a ledger behind it."""
    ledger = open_ledger(module_database.url)
    made = make_office(Parts(module_database, Books(module_database, ledger)))
    yield made
    made.console.close()
    ledger.close()


@pytest.fixture(scope="module")
def desk(office: Office) -> Desk:
    return make_desk(office)


@pytest.fixture(scope="module")
def alice(office: Office, desk: Desk) -> Browser:
    return _at(office, office.browser(office.person(alice=["owner"])), office.alice)


@pytest.fixture(scope="module")
def operator(office: Office, desk: Desk) -> Browser:
    return office.browser(office.person("owner"))


def _at(office: Office, browser: Browser, account: str) -> Browser:
    browser.get("/console/look")
    browser.post("/console/look", {"account": account})
    return browser


def _details(desk: Desk) -> list[str]:
    return [
        f"/console/payments/{desk.paid}",
        f"/console/payments/{desk.waiting}",
        f"/console/payments/{desk.short}",
        f"/console/payins/{desk.payin}",
        f"/console/payins/{desk.held}",
        f"/console/payins/{desk.late}",
        f"/console/payins/{desk.unlisted}",
        f"/console/customers/{desk.customer}",
        f"/console/webhooks/{desk.endpoint}",
        f"/console/deliveries/{desk.delivery}",
        f"/console/events/{desk.event}",
    ]


def _plain(got: Got) -> str:
    """What is read: without markup, isolating marks and hard spaces."""
    text = re.sub(r"<[^>]+>", " ", got.text)
    return text.translate({0x2068: None, 0x2069: None, 0xA0: " "})


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "ar"])
def test_every_screen_opens_in_every_language(
    office: Office, desk: Desk, operator: Browser, language: str
) -> None:
    for path in (*LISTS, *OPERATORS, *_details(desk)):
        got = operator.get(f"{path}?lang={language}")
        assert got.status == 200, (path, got.text)
        assert f'lang="{language}"' in got.text
        assert "<script>alert" not in got.text
        # What is being edited stays as it is; nothing else turns the line round.
        assert "\u202e" not in re.sub(r"<input[^>]*>", "", got.text)


def test_a_merchants_people_are_never_tipped_off(alice: Browser, desk: Desk) -> None:
    for path in (*LISTS, *_details(desk)):
        got = alice.get(path)
        assert got.status == 200, (path, got.text)
        read = _plain(got).lower()
        # A transfer that nobody took is returned, as stock is; everybody may know it.
        found = [
            word
            for word in TIPPING
            if re.search(rf"(?<!transfer\.)(?<!purchase\.)\b{word}\b", read)
        ]
        assert found == [], path
    assert "Under review" in _plain(alice.get(f"/console/payins/{desk.held}"))
    assert "Held by screening" not in _plain(alice.get("/console/payins"))
    for status in ("held", "returned", "seized"):
        assert desk.held not in alice.get(f"/console/payins?status={status}").text
    assert desk.held in alice.get("/console/payins?status=under_review").text
    file = alice.get("/console/payins?format=csv").text
    assert "held" not in file
    assert "under_review" in file


def test_the_operators_own_is_not_there_for_a_merchants_people(alice: Browser) -> None:
    for path in OPERATORS:
        assert alice.get(path).status == 404, path


def test_another_account_sees_nothing(office: Office, desk: Desk) -> None:
    bob = _at(office, office.browser(office.person(bob=["owner"])), office.bob)
    for path in _details(desk):
        assert bob.get(path).status == 404, path
    bob.get("/console/payments")
    for path, form in (
        (f"/console/payments/{desk.waiting}/cancel", {}),
        (f"/console/customers/{desk.customer}", {"name": "Mine"}),
        (f"/console/customers/{desk.customer}/delete", {}),
        (f"/console/deliveries/{desk.delivery}/redeliver", {}),
        (f"/console/webhooks/{desk.endpoint}/switch", {"state": "disabled"}),
        (f"/console/webhooks/{desk.endpoint}/delete", {}),
        (f"/console/webhooks/{desk.endpoint}/replay", {"hours": "1"}),
        (f"/console/webhooks/{desk.endpoint}/test", {}),
    ):
        bob.get("/console/look")
        assert bob.post(path, form).status == 404, path
    for path in ("/console/payments", "/console/payins", "/console/customers", "/console/events"):
        shown = bob.get(path).text
        assert not [each for each in astuple(desk) if each in shown], path


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("{paid}", "paid"),
        ("{payin}", "paid"),
        ("{customer}", "paid"),
        ("ann@example.com", "paid"),
        ("order=77", "paid"),
        ("12345678901.234567", "paid"),
        ("0x" + f"{2:040x}", "waiting"),
        ("0x" + f"{1:064x}", "paid"),
        ("HYPERLINK", "waiting"),
        ("nothing of the kind", None),
        ("pi_00000000000000000000000000", None),
    ],
)
def test_payments_are_found_by_what_people_know(
    alice: Browser, desk: Desk, search: str, found: str | None
) -> None:
    wanted = search.format(paid=desk.paid, payin=desk.payin, customer=desk.customer)
    got = alice.send("GET", f"/console/payments?q={wanted.replace('=', '%3D')}")
    shown = set(re.findall(r'href="/console/payments/(pi_\w+)"', got.text))
    if found is None:
        assert shown == set()
    else:
        assert getattr(desk, found) in shown
        assert len(shown) < 3 or search.startswith("123")


def test_a_filter_is_kept_as_a_view_of_ones_own(office: Office, alice: Browser) -> None:
    alice.get("/console/payments?status=expired")
    form = {"screen": "/console/payments", "query": "status=expired", "name": HOSTILE[:40]}
    kept = alice.post("/console/saved_views", form)
    assert kept.status == 400  # no printable name
    alice.get("/console/payments?status=expired")
    kept = alice.post("/console/saved_views", {**form, "name": "<b>gone</b>"})
    assert kept.location == "/console/payments?status=expired"
    page = alice.get("/console/payments").text
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    [view] = re.findall(r"/console/saved_views/(view_\w+)/remove", page)
    other = _at(office, office.browser(office.person(alice=["viewer"])), office.alice)
    other.get("/console/payments")
    assert "gone" not in other.get("/console/payments").text
    other.post(f"/console/saved_views/{view}/remove", {"screen": "/console/payments"})
    assert "gone" in alice.get("/console/payments").text
    alice.post(f"/console/saved_views/{view}/remove", {"screen": "/console/payments"})
    assert "gone" not in alice.get("/console/payments").text
    alice.get("/console/payments")
    evil = {**form, "name": "x", "screen": "//evil.example/console"}
    assert alice.post("/console/saved_views", evil).status == 400


def test_files_hold_no_formulas_and_exact_amounts(alice: Browser) -> None:
    got = alice.get("/console/payments?format=csv")
    assert got.headers["content-disposition"].endswith("payments.csv")
    assert got.body.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(got.body.decode("utf-8-sig"))))
    assert len(rows) == 3
    described = {row["description"] for row in rows}
    assert f"'{FORMULA}" in described
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())
    assert {row["amount"] for row in rows} == {"12345678901.234567"}


def test_a_payment_tells_its_whole_way(alice: Browser, operator: Browser, desk: Desk) -> None:
    page = alice.get(f"/console/payments/{desk.paid}")
    text = _plain(page)
    assert EXACT in text
    for word in ("Seen", "Confirmed", "Screened", "Credited", "Your server was told", "Collected"):
        assert word in text, word
    assert LONG in text
    assert "payment_intent.succeeded" in text
    assert "Ledger entries" not in text
    assert page.text.count('class="done"') == 4
    assert 'class="review"' in alice.get(f"/console/payments/{desk.short}").text
    assert "6 of 3 blocks" not in text
    assert EXACT in _plain(operator.get(f"/console/payments/{desk.paid}"))


def test_exceptions_say_what_can_be_done(office: Office, alice: Browser, desk: Desk) -> None:
    page = alice.get("/console/exceptions").text
    assert {desk.held, desk.late, desk.unlisted} <= set(re.findall(r"payins/(pin_\w+)", page))
    assert desk.payin not in page
    assert "Deliver, or give it back." in page
    for kind, which in (("late", "late"), ("under_review", "held"), ("wrong_token", "unlisted")):
        shown = set(
            re.findall(r"payins/(pin_\w+)", alice.get(f"/console/exceptions?kind={kind}").text)
        )
        assert shown == {getattr(desk, which)}, kind
    # Also after one way back has ended; not while another is open.
    given = {"payment_intent": None, "payin": desk.late, "source": "suspense", "token_amount": 5}
    assert "Give it back" in alice.get(f"/console/payins/{desk.late}").text
    refund_of(office, office.alice, status="failed", failure_reason="claim_expired", **given)
    assert "Give it back" in alice.get(f"/console/payins/{desk.late}").text
    refund_of(office, office.alice, **given)
    assert "Give it back" not in alice.get(f"/console/payins/{desk.late}").text


def test_what_screening_let_go_is_no_exception_any_more(
    office: Office, alice: Browser, desk: Desk
) -> None:
    with office.parts.database.begin() as connection:
        connection.execute(
            payins.payins.update()
            .where(payins.payins.c.id == desk.held)
            .values(status="released", reviewed=True)
        )
    try:
        assert desk.held not in alice.get("/console/exceptions").text
        assert "Credited" in _plain(alice.get(f"/console/payins/{desk.held}"))
    finally:
        with office.parts.database.begin() as connection:
            connection.execute(
                payins.payins.update()
                .where(payins.payins.c.id == desk.held)
                .values(status="held", reviewed=False)
            )


def test_a_refund_begins_with_what_came_too_much_and_is_not_set_apart(
    office: Office, alice: Browser, desk: Desk
) -> None:
    """What stands in suspense goes back by its pay-in, and what a card paid to the card."""
    whole, few = 25_000_000, 5_000_000
    quote = Quote(NETWORK, ASSET, "0x" + "00" * 20, "usdc", 6, whole, Rate(1, 1), "")
    apart, card = (
        intent_of(office, 7, "succeeded", amount=whole, quotes=[quote.to_document()], **paid)
        for paid in (
            {"amount_received": whole + few},
            {"amount_received": whole + few, "amount_credited": few},
        )
    )
    more = {"counts": True, "credit_units": whole}
    came = [
        payin_of(office, 71, apart.id, "posted", suspense_units=few, **more),
        payin_of(office, 72, card.id, "posted", **more),
    ]
    with office.parts.database.begin() as connection:
        for each in (apart, card):
            payments.insert(connection, each)
        insert_records(connection, payins.payins, came)
    try:
        told = [_plain(alice.get(f"/console/payments/{each.id}")) for each in (apart, card)]
    finally:
        with office.parts.database.begin() as connection:
            connection.execute(delete(payins.payins).where(payins.payins.c.block_number > 150))
            names = payments.payment_intents.c.id.in_([apart.id, card.id])
            connection.execute(delete(payments.payment_intents).where(names))
    told = [re.sub(r"\s+", " ", each) for each in told]
    assert ["At most 25.00 USDC can be given back." in each for each in told] == [True, True]
    assert ["came too much" in each for each in told] == [False, True]


def test_money_goes_back_only_by_who_proves_to_be_there(
    office: Office, alice: Browser, desk: Desk
) -> None:
    alice.get(f"/console/payments/{desk.paid}")
    office.unprove()
    path, form = f"/console/payments/{desk.paid}/refund", {"amount": "1.00"}
    assert alice.post(path, form).status == 403
    office.prove()
    alice.get(f"/console/payments/{desk.paid}")
    # Now the payment decides, of which nothing was credited.
    got = alice.post(path, form)
    assert (got.status, "Nothing of this payment is left" in got.text) == (400, True)


def test_a_key_is_shown_once_and_gives_no_more_than_its_maker_may(
    office: Office, alice: Browser
) -> None:
    page = alice.get("/console/keys")
    assert "payment_intents:write" in page.text
    developer = _at(office, office.browser(office.person(alice=["developer"])), office.alice)
    offered = developer.get("/console/keys").text
    assert "payment_intents:write" in offered
    assert "payouts:write" not in offered
    assert 'value="secret"' not in offered
    # What is the operator's own is nobody's in an account, so its owner lacks nothing.
    owner = office.browser(office.person(alice=["owner"]))
    assert 'value="secret"' in owner.get("/console/keys").text
    assert owner.post("/console/keys", {"name": "All", "kind": "secret"}).status == 200
    form = {"name": "All", "kind": "secret"}
    assert developer.post("/console/keys", form).status == 400


def test_a_key_is_made_rolled_and_revoked(office: Office) -> None:
    person = office.person(alice=["owner"])
    browser = _at(office, office.browser(person), office.alice)
    browser.get("/console/keys")
    office.unprove()
    form = {"name": "Shop", "kind": "restricted", "scopes": ["payment_intents:write"]}
    got = browser.post("/console/keys", form)
    # Who has not proved to be there is asked to, and nothing is made.
    assert "rk_test_" not in got.text
    with office.parts.database.begin() as connection:
        assert not connection.execute(text("SELECT id FROM api_keys WHERE name = 'Shop'")).all()
    office.prove()
    browser.get("/console/keys")
    got = browser.post("/console/keys", form)
    [token] = set(re.findall(r"rk_test_[0-9a-z]{52}", got.text))
    with office.parts.database.begin() as connection:
        principal = find_principal(connection, token_hash(token))
    assert principal is not None
    assert (principal.key.account_id, principal.key.scopes) == (office.alice, form["scopes"])
    # Sent once more, the same form makes no second key, and shows none.
    assert token not in browser.post("/console/keys", form).text
    page = browser.get("/console/keys")
    assert token not in page.text
    rolled = browser.post(f"/console/keys/{principal.key.id}/roll")
    assert set(re.findall(r"rk_test_[0-9a-z]{52}", rolled.text)) not in (set(), {token})
    browser.get("/console/keys")
    assert browser.post(f"/console/keys/{principal.key.id}/revoke").status == 303
    assert "Revoked" in browser.get("/console/keys").text
    wrong = browser.post("/console/keys", {"name": "Shop", "kind": "restricted"})
    assert wrong.status == 400
    assert "Choose at least one thing" in wrong.text


def test_home_says_what_waits(alice: Browser, operator: Browser) -> None:
    first = _plain(alice.get("/console"))
    assert "Exceptions among the newest pay-ins" in first
    assert "Base Sepolia" in first
    assert "Nobody follows it" in first or "Followed" in first
    assert "Open cases" not in first


def test_home_says_that_statements_are_behind(
    alice: Browser, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the operator: whoever reads a statement meanwhile reads of an older moment."""
    since = datetime.now(UTC) - timedelta(minutes=5, seconds=30)
    monkeypatch.setattr("sakk.console.home.projection.waits_since", lambda _: since)
    told = " ".join(_plain(operator.get("/console")).split())
    assert "5 Minutes by which statements are behind the ledger" in told
    assert "statements are behind" not in _plain(alice.get("/console"))


def test_customers_are_made_changed_and_forgotten(alice: Browser, office: Office) -> None:
    with office.parts.database.begin() as connection:
        from sakk.store import address
        from tests.api.world import XPUB

        address.put_wallet(connection, XPUB, now=office.parts.clock())
    alice.get("/console/customers/new")
    made = alice.post("/console/customers", {"name": "Ann", "email": "a@b.example"})
    assert made.status == 303, made.text
    page = alice.follow(made)
    assert "Ann" in page.text
    assert "0x" in page.text
    changed = alice.post(made.location, {"name": "Anna"})
    assert "Anna" in alice.follow(changed).text
    assert alice.post(f"{made.location}/delete").location == "/console/customers"
    assert "Anna" not in alice.get(made.location).text


def test_an_endpoint_is_changed_where_it_is(office: Office, alice: Browser, desk: Desk) -> None:
    path = f"/console/webhooks/{desk.endpoint}"
    alice.get(path)
    wrong = alice.post(f"{path}/change", {"url": "ftp://a.example", "description": "Kept words."})
    assert (wrong.status, "Kept words." in wrong.text) == (400, True)
    given = {"url": "https://b.example/hook", "events": ["payin.posted", "customer.created"]}
    alice.get(path)
    assert alice.post(f"{path}/change", given).status == 303
    page = alice.get(path).text
    assert ("https://b.example/hook" in page, page.count(" checked>")) == (True, 2)
    # A whole noun stays whole where only the address changes: what it gains later is told too.
    with office.parts.database.begin() as connection:
        this = webhook_endpoints.c.id == desk.endpoint
        connection.execute(
            webhook_endpoints.update().where(this).values(enabled_events=["customer.*"])
        )
    ticked = re.findall(r'value="([a-z_.]+)" checked>', alice.get(path).text)
    moved = {"url": "https://c.example/hook", "events": ticked}
    assert (len(ticked) > 1, alice.post(f"{path}/change", moved).status) == (True, 303)
    with office.parts.database.read() as connection:
        wanted = connection.execute(select(webhook_endpoints.c.enabled_events).where(this))
        assert wanted.scalar_one() == ["customer.*"]
    alice.get(path)
    assert alice.post(f"{path}/change", {"url": "https://b.example/hook"}).status == 303
    assert ("Everything" in alice.get(path).text, " checked>" in alice.get(path).text) == (
        True,
        False,
    )


def test_an_endpoint_and_its_new_secret_are_made_once_by_two_clicks(
    office: Office, alice: Browser, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.get("/console/webhooks")
    monkeypatch.setattr(webhooks, "insert_endpoint", Meeting(webhooks.insert_endpoint))
    given = {"url": "https://twice.example/hook"}
    got = alice.twice(lambda tab: tab.post("/console/webhooks", given))
    [secret] = {re.findall(r"whsec_[\w+/=]+", each.text)[0] for each in got}
    [path] = {re.findall(r'href="(/console/webhooks/we_\w+)"', each.text)[0] for each in got}
    # Who knows its id and not the form is not shown its secret.
    seed = f"{ids.decode(path.rpartition('/')[2])[1]:032x}"
    assert secret not in alice.post("/console/webhooks", {**given, "_once": seed}).text
    alice.get(path)
    rotated = alice.twice(lambda tab: tab.post(f"{path}/rotate"))
    [new] = {re.findall(r"whsec_[\w+/=]+", each.text)[0] for each in rotated}
    this = webhooks.webhook_endpoints.c.id == path.rpartition("/")[2]
    with office.parts.database.begin() as connection:
        kept = connection.execute(webhooks.webhook_endpoints.select().where(this)).one()
        # What the server still has signs too.
        assert (kept.secret, kept.previous_secret) == (new, secret)
        rotate_secret(
            connection,
            kept.id,
            account_id=office.alice,
            livemode=False,
            overlap_seconds=ROTATION_OVERLAP_SECONDS_MAX,
            now=datetime.now(UTC),
        )
    # What the API let overlap for long is no click of a moment ago.
    again = re.findall(r"whsec_[\w+/=]+", alice.post(f"{path}/rotate").text)[0]
    with office.parts.database.begin() as connection:
        after = connection.execute(webhooks.webhook_endpoints.select().where(this)).one()
        assert (after.secret, after.previous_secret in (new, secret)) == (again, False)
        both = webhooks.webhook_endpoints.c.url == given["url"]
        connection.execute(webhooks.webhook_endpoints.delete().where(both))
    alice.get("/console/customers/new")
    once = alice.page
    made = alice.post("/console/customers", {"name": "Twice"})
    alice.page = once
    assert alice.post("/console/customers", {"name": "Twice"}).location == made.location


def test_a_test_is_sent_and_followed_until_its_answer(
    office: Office, alice: Browser, desk: Desk
) -> None:
    path = f"/console/webhooks/{desk.endpoint}"
    assert "webhook_endpoint.test" not in alice.get(path).text
    sent = alice.post(f"{path}/test")
    page = alice.follow(sent)
    assert ("webhook_endpoint.test" in page.text, "it tells of nothing" in page.text) == (
        True,
        True,
    )
    assert f'data-follow="{sent.location}/tries"' in page.text
    assert "data-open" in alice.get(f"{sent.location}/tries").text
    delivery = sent.location.rpartition("/")[2]
    with office.parts.database.begin() as connection:
        connection.execute(
            insert(webhook_attempts).values(
                delivery_id=delivery,
                attempt=1,
                account_id=office.alice,
                started_at=datetime.now(UTC),
                duration_ms=1_234,
                response_status=500,
                response_excerpt="<b>No such table</b>",
            )
        )
        this = webhook_deliveries.c.id == delivery
        connection.execute(
            webhook_deliveries.update()
            .where(this)
            .values(status="abandoned", next_attempt_at=None, lease_token=None)
        )
    tries = alice.get(f"{sent.location}/tries").text
    for fact in ("500", "1,234", "&lt;b&gt;No such table"):
        assert fact in tries, fact
    assert "data-open" not in tries
    for _ in range(9):
        alice.post(f"{path}/test")
        alice.get(path)
    refused = alice.post(f"{path}/test")
    assert (refused.status, "10 tests a minute" in _plain(refused)) == (429, True)
    # What else is on the page is as it was.
    assert "https://" in refused.text


def test_a_delivery_is_sent_again(alice: Browser, desk: Desk) -> None:
    alice.get(f"/console/deliveries/{desk.delivery}")
    path = f"/console/deliveries/{desk.delivery}/redeliver"
    assert alice.post(path).location == f"/console/deliveries/{desk.delivery}"
    alice.get(f"/console/webhooks/{desk.endpoint}")
    back = {"back": f"/console/webhooks/{desk.endpoint}"}
    assert alice.post(path, back).location == back["back"]
    alice.get(f"/console/webhooks/{desk.endpoint}")
    assert alice.post(path, {"back": "https://evil.example/"}).location.startswith("/console/")
