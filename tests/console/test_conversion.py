"""Conversions in the console: a price is asked for and accepted once, by who may and is there."""

import csv
import io
import re

import pytest
from sqlalchemy import update

from sakk.core import chart
from sakk.flow import conversion as flow
from sakk.ledger.projection import catch_up
from sakk.store import conversion as store
from sakk.store import rate as rates
from sakk.store import venue as venues
from sakk.store.identity import now
from tests.console.converting import conversions_of, earn, two_coins
from tests.console.objects import venue_of
from tests.console.office import Office

LIST = "/console/conversions"
QUOTES = "/console/conversion_quotes"
WISH = {
    "source_currency": "usdc",
    "target_currency": "usdt",
    "amount": "10.000001",
    "fixed": "source",
}


def balances(office: Office, account: str) -> list[int]:
    """What an account has of USDC and of USDT."""
    units = [chart.currency_unit(each, livemode=False) for each in ("usdc", "usdt")]
    return office.parts.books.balances(
        [chart.merchant(account, "available", each) for each in units]
    )


def test_a_price_is_asked_for_accepted_once_and_booked(office: Office) -> None:
    two_coins(office)
    earn(office, office.alice, 12_000_000)
    with office.parts.database.begin() as connection:
        flow.put_terms(connection, "", livemode=False, now=now(), spread_ppm=5_000)
    alice = office.browser(office.person(alice=["finance"]))
    viewer = office.browser(office.person(alice=["viewer"]))
    alice.get(LIST)
    for wrong, told in (
        ({"amount": "ten"}, "Write an amount"),
        ({"target_currency": "usdc"}, "from one currency into another"),
        ({"amount": "200000"}, "at most 100000.00 US dollars"),
    ):
        refused = alice.post(QUOTES, {**WISH, **wrong})
        assert (refused.status, told in refused.said) == (400, True), refused.said
        assert 'value="usdc" selected' in refused.text
        alice.get(LIST)
    asked = alice.post(QUOTES, WISH)
    assert asked.status == 303, asked.text
    page = alice.get(asked.location)
    # The bid of a dollar less half a percent, rounded against who converts.
    for fact in ("10.000001", "9.95", "0.050001", "0.995"):
        assert fact in page.text, fact
    path = f"{asked.location}/accept"
    assert (path in page.text, path in viewer.get(asked.location).text) == (True, False)
    assert viewer.post(path).status == 403
    office.unprove()
    alice.get(asked.location)
    assert alice.post(path).status == 403
    assert balances(office, office.alice) == [12_000_000, 0]
    office.prove()
    alice.get(asked.location)
    made, again = alice.post(path), alice.post(path)
    # The same form sent twice is one conversion.
    assert (made.status, again.status, made.location) == (303, 303, again.location), made.text
    assert balances(office, office.alice) == [1_999_999, 9_950_000]
    catch_up(office.parts.database.url)
    page = alice.get(made.location)
    for fact in ("Booked", "1.999999", "9.95", asked.location):
        assert fact in page.text, fact
    assert "conversion_taken" not in page.text
    used = alice.get(asked.location)
    assert (path in used.text, made.location in used.text) == (False, True)
    stale = alice.post(path)
    assert (stale.status, "This quote was used for" in stale.said) == (400, True)
    owner = office.browser(office.person("owner"))
    assert "conversion_taken" in owner.get(made.location).text
    held = owner.get("/console/fx_positions").text
    assert ("10.000001" in held, "\u221210.000001" in held) == (True, True)
    file = io.StringIO(alice.get(f"{LIST}?format=csv").body.decode("utf-8-sig"))
    rows = list(csv.DictReader(file))
    assert [(row["source_amount"], row["target_amount"]) for row in rows] == [
        ("10.000001", "9.950000")
    ]


def test_what_is_over_not_covered_or_anothers_moves_nothing(office: Office) -> None:
    ids = conversions_of(office, office.bob)
    before = balances(office, office.bob), balances(office, office.alice)
    path = f"{QUOTES}/{ids['conversion_quote']}"
    alice = office.browser(office.person(alice=["owner"]))
    office.prove()
    alice.get(LIST)
    for theirs in (path, f"{LIST}/{ids['conversion']}", "/console/fx_positions"):
        assert alice.get(theirs).status == 404, theirs
    assert alice.post(f"{path}/accept").status == 404
    for named in ids.values():
        assert "conv_…" not in alice.get(f"{LIST}?q={named}").text
    # Who looks at everybody's chooses an account first.
    owner = office.browser(office.person("owner"))
    assert f"{path}/accept" not in owner.get(path).text
    assert owner.post(f"{path}/accept").status == 400
    bob = office.browser(office.person(bob=["finance"]))
    bob.get(path)
    c = store.conversion_quotes.c
    change = update(store.conversion_quotes).where(c.id == ids["conversion_quote"])
    with office.parts.database.begin() as connection:
        connection.execute(change.values(source_amount=10**12))
    poor = bob.post(f"{path}/accept")
    assert (poor.status, "does not cover" in poor.said) == (400, True), poor.said
    with office.parts.database.read() as connection:
        rejected = store.find_by_quote(connection, ids["conversion_quote"])
    assert "nothing moved" in bob.get(f"{LIST}/{rejected}").text
    bob.get(LIST)
    asked = bob.post(QUOTES, {**WISH, "amount": "0.5", "fixed": "target"}).location
    with office.parts.database.begin() as connection:
        late = update(store.conversion_quotes).where(c.id == asked.rpartition("/")[2])
        connection.execute(late.values(expires_at=now()))
    page = bob.get(asked)
    assert (f"{asked}/accept" in page.text, "Ask for another price" in page.text) == (False, True)
    stale = bob.post(f"{asked}/accept")
    assert (stale.status, "has expired" in stale.said) == (400, True), stale.said
    assert (balances(office, office.bob), balances(office, office.alice)) == before
    assert bob.get(f"{LIST}?status=rejected&source=usdc&target=usdt").text.count("conv_…") == 1
    # A price that nobody accepted is in the list of prices, and so is what became of the others.
    assert path not in alice.get(QUOTES).text
    file = io.StringIO(bob.get(f"{QUOTES}?format=csv").body.decode("utf-8-sig"))
    listed = {row["id"]: (row["status"], row["conversion"]) for row in csv.DictReader(file)}
    assert listed[asked.rpartition("/")[2]] == ("expired", "")
    assert listed[ids["conversion_quote"]] == ("used", rejected)
    for query, found in (
        ("status=expired", [asked]),
        ("status=held", []),
        ("status=used&source=usdc", [path]),
        (f"q={ids['conversion_quote']}", [path]),
    ):
        page = bob.get(f"{QUOTES}?{query}")
        assert [each for each in (asked, path) if f'"{each}"' in page.text] == found, query
    assert bob.get(f"{LIST}?source=usdt").text.count("conv_…") == 0


@pytest.mark.parametrize("language", ["zh-Hans", "zh-Hant", "ar"])
def test_their_screens_are_there_in_every_language(office: Office, language: str) -> None:
    ids = conversions_of(office, office.bob)
    owner = office.browser(office.person("owner"))
    for path in (
        LIST,
        f"{LIST}/{ids['conversion']}",
        QUOTES,
        f"{QUOTES}/{ids['conversion_quote']}",
        "/console/fx_positions",
    ):
        page = owner.get(f"{path}?lang={language}")
        assert (page.status, "<script>alert" in page.text) == (200, False), page.text[:500]


def said(page: str) -> str:
    """The digest that a page asks a second person to confirm."""
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
    assert found is not None, page
    return found[1]


def test_sources_are_set_up_by_two_of_the_operators_people(office: Office) -> None:
    two_coins(office)
    finance = office.browser(office.person("finance"))
    finance.get("/console/rates")
    form = {"name": "desk", "kind": "json", "location": "https://rates.example/all"}
    pairs = "usdt-usdc=/bid,/ask,/time\n"
    # A browser names no file of the server.
    refused = finance.post(
        "/console/rates/sources", {**form, "location": "/etc/passwd", "pairs": pairs}
    )
    assert (refused.status, 'id="location-fault"' in refused.text) == (400, True)
    refused = finance.post("/console/rates/sources", {**form, "pairs": "usdt-nothing=/bid"})
    assert (refused.status, 'id="pairs-fault"' in refused.text) == (400, True)
    office.unprove()
    assert finance.post("/console/rates/sources", {**form, "pairs": pairs}).status == 403
    office.prove()
    finance.get("/console/rates")
    made = finance.post("/console/rates/sources", {**form, "pairs": pairs})
    assert made.status == 303, made.text
    page = finance.get(made.location)
    assert "usdt-usdc=/bid,/ask,/time" in page.text

    def stands() -> tuple[bool, str, int]:
        with office.parts.database.read() as connection:
            found = rates.find_source(connection, "desk")
        assert found is not None
        return found.enabled, found.location, found.every_seconds

    # Nobody prices anything alone: another person confirms just what was shown.
    other = office.browser(office.person("finance"))
    shown = said(other.get(made.location).text)
    assert 'name="digest"' not in page.text
    assert finance.post(f"{made.location}/confirm", {"digest": shown}).status == 403
    other.get(made.location)
    assert other.post(f"{made.location}/confirm", {"digest": "0" * 64}).status == 400
    assert stands()[0] is False
    other.get(made.location)
    assert other.post(f"{made.location}/confirm", {"digest": shown}).status == 303
    assert stands() == (True, "https://rates.example/all", 15)
    finance.get(made.location)
    changed = {"kind": "json", "location": "https://rates.example/2", "pairs": pairs, "every": "9"}
    assert finance.post(made.location, changed).status == 303
    assert stands() == (True, "https://rates.example/all", 15)
    shown = said(other.get(made.location).text)
    assert other.post(f"{made.location}/confirm", {"digest": shown}).status == 303
    assert stands() == (True, "https://rates.example/2", 9)
    # What takes a word away is one person's to say; that it counts again is two people's.
    finance.get(made.location)
    assert finance.post(f"{made.location}/disable").status == 303
    finance.get(made.location)
    assert finance.post(f"{made.location}/enable").status == 303
    assert stands()[0] is False
    other.get(made.location)
    assert other.post(f"{made.location}/decline").status == 303
    assert 'id="proposed"' not in finance.get(made.location).text


def test_a_coin_is_watched_by_one_person_and_less_by_two(office: Office) -> None:
    two_coins(office)
    finance, other = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    finance.get("/console/rates")
    peg = {"currency": "usdt", "peg": "usdt", "bound": "0.5", "recover": "600"}
    assert 'id="peg-fault"' in finance.post("/console/rates/pegs", peg).text
    finance.get("/console/rates")
    assert finance.post("/console/rates/pegs", {**peg, "peg": "usdc"}).status == 303
    with office.parts.database.read() as connection:
        [watched] = [each for each in rates.list_pegs(connection) if each.currency == "usdt"]
    assert (watched.peg, watched.bound_ppm, watched.recover_seconds) == ("usdc", 5_000, 600)
    # A wider bound stops it later.
    finance.get("/console/rates")
    wider = {**peg, "peg": "usdc", "bound": "5"}
    assert finance.post("/console/rates/pegs", wider).status == 303
    shown = said(other.get("/console/rates").text)
    with office.parts.database.read() as connection:
        assert [each.bound_ppm for each in rates.list_pegs(connection)] == [5_000]
    assert other.post("/console/rates/usdt/confirm", {"digest": shown}).status == 303
    with office.parts.database.read() as connection:
        assert [each.bound_ppm for each in rates.list_pegs(connection)] == [50_000]


def test_terms_and_venues_are_set_up_by_the_operators_people(office: Office) -> None:
    two_coins(office)
    finance = office.browser(office.person("finance"))
    office.prove()
    terms = "/console/conversion_terms"
    finance.get("/console/look")
    finance.post("/console/look", {"account": office.bob})
    finance.get(terms)
    wanted = {"state": "on", "spread": "0.25", "lock_seconds": "90", "most": "1000.50"}
    refused = finance.post(terms, {**wanted, "most_a_day": "many"})
    assert (refused.status, 'id="most_a_day-fault"' in refused.text) == (400, True)
    finance.get(terms)
    assert finance.post(terms, {**wanted, "most_a_day": "2000"}).status == 303
    with office.parts.database.read() as connection:
        own = store.find_terms(connection, office.bob, livemode=False)
        every = store.find_terms(connection, "", livemode=False)
    assert own is not None
    assert (own.spread_ppm, own.lock_seconds, own.usd_cents_max) == (2_500, 90, 100_050)
    assert every is None or every.spread_ppm != 2_500

    name = venue_of(office)
    page = finance.get("/console/venues")
    assert all(told in page.text for told in ("Takes orders", "USDTZUSD", "simulated_south"))
    assert "sealed" not in page.text
    assert finance.post(f"/console/venues/{name}/disable").status == 303
    assert "Switched off" in finance.get("/console/venues").text
    with office.parts.database.read() as connection:
        [venue] = [each for each in venues.list_all(connection) if each.name == name]
    assert not venue.enabled
    merchant = office.browser(office.person(bob=["owner"]))
    for path in (terms, "/console/venues", "/console/rates"):
        assert merchant.get(path).status == 404
