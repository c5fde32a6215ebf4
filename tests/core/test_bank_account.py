from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sakk.core.bank_account import (
    Adapter,
    BankAccount,
    BankRole,
    BankTerms,
    OrderFormat,
    Place,
    Profile,
    batch_due,
    bic_of,
    check_currency,
    check_server,
    check_terms,
    check_usable,
    execution_date,
    is_iban,
    is_sepa,
    minor_units,
    parse_bic,
    parse_iban,
    public,
    read_place,
    read_terms,
)
from sakk.core.errors import ParameterInvalid

IBAN = "DE89370400440532013000"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ACCOUNT = BankAccount(
    id="ba_1",
    account_id="acct_1",
    livemode=False,
    role=BankRole.payee.value,
    holder="Anna Müller",
    country="DE",
    currency="eur",
    decimals=2,
    iban=IBAN,
    bic="COBADEFFXXX",
    usable_at=NOW,
    metadata={},
    created=NOW,
)
HERE = Place("DE", IBAN, None, None, None)


@pytest.mark.parametrize(
    ("currency", "units"), [("eur", 2), ("jpy", 0), ("kwd", 3), ("clf", 4), ("krw", 0), ("xof", 0)]
)
def test_minor_units(currency: str, units: int) -> None:
    assert minor_units(currency) == units
    check_currency(currency, units)
    with pytest.raises(ParameterInvalid, match="decimals at banks"):
        check_currency(currency, 6)


@pytest.mark.parametrize(
    "text",
    ["", "DE89370400440532013001", "XX00", "DE8937040044053201300O", "IBAN", "DE89 3704", "ø" * 40],
)
def test_no_iban(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="no IBAN"):
        parse_iban(text)


def test_ibans_and_bics() -> None:
    assert parse_iban("de89 3704 0044 0532 0130 00") == IBAN
    assert bic_of(IBAN) == "COBADEFFXXX"
    # The registry knows no bank of this code.
    assert bic_of("SA2799000000000000000001") is None
    assert parse_bic("cobadeff") == "COBADEFF"
    with pytest.raises(ParameterInvalid, match="no BIC"):
        parse_bic("COB")


@pytest.mark.parametrize(
    ("adapter", "provider", "livemode", "param"),
    [
        (Adapter.provider, "sandbox", False, None),
        (Adapter.provider, "sandbox", True, "provider"),
        (Adapter.provider, "another", False, "provider"),
        (Adapter.provider, None, False, "provider"),
        (Adapter.folder, "sandbox", False, "provider"),
    ],
)
def test_providers_are_those_that_there_is_a_connector_to(
    adapter: Adapter, provider: str | None, livemode: bool, param: str | None
) -> None:
    terms = BankTerms("house", adapter=adapter, provider=provider)
    if param is None:
        check_server(terms, livemode=livemode)
        return
    with pytest.raises(ParameterInvalid) as raised:
        check_server(terms, livemode=livemode)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("changes", "livemode", "param"),
    [
        ({}, True, None),
        ({"trust": "-----BEGIN PUBLIC KEY-----\nAAAA"}, True, None),
        ({"address": "http://127.0.0.1:1"}, False, None),
        ({"address": "http://127.0.0.1:1"}, True, "address"),
        ({"provider_account": None}, True, "provider_account"),
        ({"provider_account": "0222"}, True, "provider_account"),
        ({"provider_account": "222/../1"}, True, "provider_account"),
        ({"trust": "-----BEGIN CERTIFICATE-----"}, True, "trust"),
        ({"provider": "sandbox", "address": "https://a.test"}, False, "address"),
        # Test money moves no real money.
        ({}, False, "address"),
        ({"address": "https://API.wise.com:443/"}, False, "address"),
    ],
)
def test_a_provider_is_known_by_our_number_there_and_by_its_key(
    changes: dict[str, Any], livemode: bool, param: str | None
) -> None:
    given = {"adapter": Adapter.provider, "provider": "wise", "provider_account": "222", **changes}
    if param is None:
        check_server(BankTerms("house", **given), livemode=livemode)
        return
    with pytest.raises(ParameterInvalid) as raised:
        check_server(BankTerms("house", **given), livemode=livemode)
    assert raised.value.param == param


def test_what_is_no_iban() -> None:
    assert not is_iban("DE00370400440532013000")
    assert not is_iban("nobody's")


@pytest.mark.parametrize(
    ("iban", "sepa"),
    [
        (IBAN, True),
        ("GB29NWBK60161331926819", True),
        ("CH9300762011623852957", True),
        # The list is ahead of the registry of IBANs.
        ("RS35260005601001611379", True),
        ("XK051212012345678906", False),
        ("GE29NB0000000101904917", False),
        ("SC18SSCB11010000000000001497USD", False),
    ],
)
def test_which_accounts_sepa_reaches(iban: str, sepa: bool) -> None:
    assert is_iban(iban)
    assert is_sepa(iban) is sepa
    terms = BankTerms("house")
    place = Place(iban[:2], iban, None, None, None)
    if sepa:
        check_terms(terms, place, "eur", livemode=True)
        return
    with pytest.raises(ParameterInvalid, match="SEPA country"):
        check_terms(terms, place, "eur", livemode=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"iban": IBAN}, Place("DE", IBAN, "COBADEFFXXX", None, None)),
        (
            {"iban": IBAN, "bic": "DEUTDEFF", "country": "DE"},
            Place("DE", IBAN, "DEUTDEFF", None, None),
        ),
        (
            {"number": "0123-456", "country": "US", "bank_code": "026009593"},
            Place("US", None, None, "0123-456", "026009593"),
        ),
        (
            {"number": "123", "country": "HK", "bic": "HSBCHKHH"},
            Place("HK", None, "HSBCHKHH", "123", None),
        ),
    ],
)
def test_places(given: dict[str, str], expected: Place) -> None:
    assert read_place(**blank(given)) == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "iban"),
        ({"iban": IBAN, "number": "1"}, "number"),
        ({"iban": IBAN, "bank_code": "1"}, "number"),
        ({"iban": IBAN, "country": "FR"}, "country"),
        ({"number": "1"}, "country"),
        ({"number": "1", "country": "Germany"}, "country"),
        ({"number": "1", "country": "US"}, "bank_code"),
        ({"number": "1\n2", "country": "US", "bank_code": "1"}, "number"),
        ({"number": "1", "country": "US", "bank_code": "<>"}, "bank_code"),
        ({"number": "1", "country": "US", "bic": "no"}, "bic"),
    ],
)
def test_no_places(given: dict[str, str], param: str) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        read_place(**blank(given))
    assert raised.value.param == param


def blank(given: dict[str, str]) -> dict[str, Any]:
    return dict.fromkeys(("iban", "bic", "country", "number", "bank_code")) | given


def test_terms_are_stored_and_read() -> None:
    terms = BankTerms("acme", profile=Profile.generic, format=OrderFormat.v03, batch_minutes=5)
    assert read_terms(terms.document()) == terms


@pytest.mark.parametrize(
    ("changes", "currency", "place", "param"),
    [
        ({"folder": "../etc"}, "eur", HERE, "folder"),
        ({"folder": ""}, "eur", HERE, "folder"),
        ({"timezone": "Mars/Olympus"}, "eur", HERE, "timezone"),
        ({"timezone": "../x"}, "eur", HERE, "timezone"),
        ({"timezone": "Europe"}, "eur", HERE, "timezone"),
        ({"cutoff": "25:00"}, "eur", HERE, "cutoff"),
        # "10:00" would be before it.
        ({"cutoff": "9:30"}, "eur", HERE, "cutoff"),
        ({"adapter": Adapter.sandbox}, "eur", HERE, "adapter"),
        ({}, "usd", HERE, "profile"),
        ({}, "eur", replace(HERE, iban=None), "profile"),
        ({}, "eur", HERE, None),
        ({"profile": Profile.generic}, "usd", replace(HERE, iban=None), None),
    ],
)
def test_terms_are_checked(
    changes: dict[str, Any], currency: str, place: Place, param: str | None
) -> None:
    terms = replace(BankTerms("acme"), **changes)
    if param is None:
        check_terms(terms, place, currency, livemode=True)
        return
    with pytest.raises(ParameterInvalid) as raised:
        check_terms(terms, place, currency, livemode=True)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("now", "day"),
    [
        # A Thursday, before and at the cut-off of 16:00 in Berlin; then a weekend and a holiday.
        (datetime(2026, 11, 26, 14, 59, tzinfo=UTC), date(2026, 11, 26)),
        (datetime(2026, 11, 26, 15, 0, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 27, 15, 0, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 30, 15, 0, tzinfo=UTC), date(2026, 12, 2)),
    ],
)
def test_the_day_of_execution(now: datetime, day: date) -> None:
    def is_business_day(each: date) -> bool:
        return each.weekday() < 5 and each != date(2026, 12, 1)

    assert execution_date(BankTerms("acme"), now, is_business_day) == day


def test_a_calendar_without_business_days() -> None:
    with pytest.raises(ParameterInvalid, match="no business day"):
        execution_date(BankTerms("acme"), NOW, lambda _: False)


@pytest.mark.parametrize(
    ("minutes", "oldest", "now", "due"),
    [
        (0, NOW, NOW, True),
        (60, NOW, NOW.replace(minute=59), False),
        (60, NOW, NOW.replace(hour=13), True),
        # Five minutes before 16:00 in Berlin the file of the day is made.
        (600, NOW.replace(hour=14, minute=50), NOW.replace(hour=14, minute=54), False),
        (600, NOW.replace(hour=14, minute=50), NOW.replace(hour=14, minute=55), True),
        (600, NOW.replace(hour=15, minute=0), NOW.replace(hour=15, minute=1), False),
    ],
)
def test_when_a_file_is_made(minutes: int, oldest: datetime, now: datetime, due: bool) -> None:
    assert batch_due(BankTerms("acme", batch_minutes=minutes), oldest, now) is due


@pytest.mark.parametrize(
    ("changes", "currency", "message"),
    [
        ({"deleted": True}, "eur", "no bank account"),
        ({"role": BankRole.own.value}, "eur", "no bank account"),
        ({}, "usd", "not paid in usd"),
        ({"usable_at": NOW.replace(hour=13)}, "eur", "from 2026-11-26T13:00:00Z on"),
    ],
)
def test_not_usable(changes: dict[str, Any], currency: str, message: str) -> None:
    check_usable(ACCOUNT, "eur", now=NOW, param="destination")
    with pytest.raises(ParameterInvalid, match=message):
        check_usable(replace(ACCOUNT, **changes), currency, now=NOW, param="destination")


def test_what_is_shown() -> None:
    shown = public(ACCOUNT, now=NOW, operator=False)
    assert (shown["status"], shown["terms"], shown["opening"]) == ("active", None, None)
    own = replace(
        ACCOUNT,
        role=BankRole.own.value,
        account_id=None,
        opening_units=5,
        terms=BankTerms("acme").document(),
        usable_at=NOW.replace(hour=13),
    )
    shown = public(own, now=NOW, operator=True)
    assert (shown["status"], shown["opening_decimal"]) == ("waiting", "0.05")
    assert shown["terms"]["folder"] == "acme"
    deleted = public(replace(ACCOUNT, deleted=True), now=NOW, operator=True)
    assert deleted == {"id": "ba_1", "object": "bank_account", "deleted": True}


HOST = "ssh-ed25519 " + "A" * 60


@pytest.mark.parametrize(
    ("adapter", "address", "trust", "param"),
    [
        (Adapter.sftp, "sftp://acme@bank.example:2222/in-box", HOST, None),
        (Adapter.sftp, "sftp://acme:secret@bank.example/", HOST, "address"),
        (Adapter.sftp, "sftp://bank.example/", HOST, "address"),
        (Adapter.sftp, "sftp://acme@bank.example:65536", HOST, "address"),
        (Adapter.sftp, "sftp://acme@[1:2]/", HOST, "address"),
        (Adapter.sftp, None, HOST, "address"),
        (Adapter.sftp, "sftp://acme@bank.example", None, "trust"),
        (Adapter.sftp, "sftp://acme@bank.example", "* " + HOST, "trust"),
        (Adapter.http, "https://bank.example/v1", None, None),
        (Adapter.http, "https://bank.example/v1", "-----BEGIN CERTIFICATE-----", None),
        (Adapter.http, "https://bank.example/v1", HOST, "trust"),
        (Adapter.http, "http://bank.example/v1", None, "address"),
        (Adapter.http, "https://10.1.2.3/v1", None, "address"),
        (Adapter.http, None, None, "address"),
        (Adapter.folder, "sftp://acme@bank.example", None, "address"),
        (Adapter.sandbox, None, HOST, "address"),
    ],
)
def test_servers_are_checked(
    adapter: Adapter, address: str | None, trust: str | None, param: str | None
) -> None:
    terms = BankTerms("house", adapter=adapter, address=address, trust=trust)
    if param is None:
        check_server(terms, livemode=True)
        return
    with pytest.raises(ParameterInvalid) as raised:
        check_server(terms, livemode=True)
    assert raised.value.param == param


@pytest.mark.parametrize(("units", "most"), [(100, 500), (10_000, 500), (1_000_000, 50_000)])
def test_a_provider_takes_its_part_or_what_it_takes_of_any_payout(units: int, most: int) -> None:
    assert BankTerms("house", fee_ppm_max=50_000, fee_floor=500).fee_limit(units) == most


@pytest.mark.parametrize("field", ["fee_ppm_max", "fee_floor"])
def test_what_a_provider_may_take_has_bounds(field: str) -> None:
    for value in (-1, 10**12):
        changes: dict[str, Any] = {field: value}
        terms = BankTerms("house", **changes)
        with pytest.raises(ParameterInvalid, match=f"{field} is 0 to") as raised:
            check_server(terms, livemode=False)
        assert raised.value.param == field
