"""What every provider's connector must do: each is put before the same questions.

A connector stands here with a fake of its provider; see docs/guides/connector.md.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sakk.core.bank_account import Adapter, BankAccount, BankTerms
from sakk.core.bank_payment import compact
from sakk.core.provider_notice import WINDOW_MAX, NoticeRefused
from sakk.core.provider_order import Word
from sakk.rails.bank.pain001 import Party
from sakk.rails.bank.provider import (
    ProviderRail,
    ProviderRefused,
    ProviderUnknown,
    ProviderUnreachable,
    Wanted,
)
from sakk.rails.bank.provider_call import ANSWER_BYTES_MAX, ProviderCaller
from sakk.rails.bank.provider_notice import read_notice
from sakk.rails.bank.rail import BankUnreachable
from sakk.rails.bank.read import read_file
from sakk.rails.bank.sandbox_provider import SandboxProvider
from sakk.rails.bank.wise import Wise, legal_type, transaction_id
from sakk.rails.bank.wise_statement import ASKED_AGAIN_AFTER, WiseStatements
from sakk.store.identity import new_id
from tests.rails.fake_wise import (
    FEE,
    PROFILE,
    PUBLIC_KEY,
    TOKEN,
    FakeWise,
    fake_wise,
    notice,
    signature,
)

WANTED = Wanted(
    units=10_000,
    currency="eur",
    payee=Party(name="Anna Müller", country="FR", iban="FR7630006000011234567890189"),
    end_to_end_id="PO01",
    remittance="Invoice 7",
)


@dataclass
class Case:
    """A connector before its fake. ``orders``: how many the provider has; ``advance``: time goes
    by there; ``lose``: it does the next thing that it is asked, and its answer is lost."""

    rail: ProviderRail
    orders: Callable[[], int]
    advance: Callable[[timedelta], None]
    lose: Callable[[], None]
    lock: timedelta


@contextmanager
def sandbox(directory: Path) -> Iterator[Case]:
    moment = [datetime(2026, 11, 26, 12, tzinfo=UTC)]

    class Lossy(SandboxProvider):
        loses = False

        def place(self, key: str, quote: str, wanted: Wanted) -> Any:
            standing = super().place(key, quote, wanted)
            if self.loses:
                self.loses = False
                raise ProviderUnknown("lost")
            return standing

    rail = Lossy(
        directory,
        account="123",
        currency="eur",
        opening_units=0,
        opened=moment[0].date(),
        clock=lambda: moment[0],
    )

    def advance(by: timedelta) -> None:
        moment[0] += by

    def lose() -> None:
        rail.loses = True

    yield Case(
        rail,
        lambda: len(rail._books().get("provider", {"orders": ()})["orders"]),
        advance,
        lose,
        timedelta(minutes=1),
    )


class Kept:
    """Which files were taken, as `sakk.store.bank_download.Downloads` has it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def fresh(self, files: Sequence[tuple[str, str]]) -> list[str]:
        return [name for name, _ in files if name not in self.names]

    def remember(self, name: str, version: str) -> None:
        self.names.add(name)


def connected(fake: FakeWise, token: str = TOKEN) -> Wise:
    caller = ProviderCaller(fake.url, token, aiohttp.TCPConnector, allow_loopback=True)
    statements = WiseStatements(
        caller,
        str(PROFILE),
        currency="eur",
        account="P222",
        is_iban=False,
        opened=fake.now.date(),
        taken=Kept(),
        failed={},
        clock=lambda: fake.now,
    )
    return Wise(caller, str(PROFILE), statements)


@contextmanager
def wise(_: Path) -> Iterator[Case]:
    with fake_wise() as fake:

        def advance(by: timedelta) -> None:
            fake.now += by

        def lose() -> None:
            fake.loses = "/payments"

        yield Case(connected(fake), lambda: len(fake.funded), advance, lose, timedelta(minutes=30))


CASES = (sandbox, wise)


@pytest.fixture(params=CASES, ids=lambda each: each.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with request.param(tmp_path) as made:
        yield made


def test_a_quote_moves_nothing_and_says_what_is_taken(case: Case) -> None:
    quote = case.rail.quote(WANTED)
    assert (quote.units, case.orders()) == (WANTED.units, 0)
    assert 0 < quote.fee_units < WANTED.units // 20
    assert case.rail.find(new_id("po")) is None


def test_a_key_is_one_order(case: Case) -> None:
    key = new_id("po")
    quote = case.rail.quote(WANTED)
    case.lose()
    with pytest.raises(ProviderUnknown):
        case.rail.place(key, quote.id, WANTED)
    # However often, and by another quote; and it says nothing else of what it takes.
    first = case.rail.place(key, quote.id, WANTED)
    again = case.rail.place(key, case.rail.quote(WANTED).id, WANTED)
    found = case.rail.find(key)
    assert found is not None
    assert first.reference == again.reference == found.reference
    assert found.word in (Word.processing, Word.paid)
    assert {first.fee_units, found.fee_units} <= {None, quote.fee_units}
    assert case.orders() == 1
    other = new_id("po")
    assert case.rail.find(other) is None
    assert case.rail.place(other, case.rail.quote(WANTED).id, WANTED).reference != first.reference
    assert case.orders() == 2


def test_by_a_quote_that_is_over_nothing_is_ordered(case: Case) -> None:
    quote, key = case.rail.quote(WANTED), new_id("po")
    case.advance(case.lock + timedelta(seconds=1))
    with pytest.raises(ProviderRefused) as refused:
        case.rail.place(key, quote.id, WANTED)
    assert refused.value.is_quote
    assert (case.rail.find(key), case.orders()) == (None, 0)
    # The key is free for the next one.
    case.rail.place(key, case.rail.quote(WANTED).id, replace(WANTED))
    assert case.orders() == 1


@pytest.fixture
def fake() -> Iterator[FakeWise]:
    with fake_wise() as made:
        yield made


def test_what_stands_where_at_wise(fake: FakeWise) -> None:
    rail, key = connected(fake), new_id("po")
    quote = rail.quote(WANTED)
    # From the balance, and not what a card would cost.
    assert (quote.units, quote.fee_units) == (10_000, 53)
    placed = rail.place(key, quote.id, WANTED)
    # A transfer does not say its fee: what the quote says stands.
    assert (placed.word, placed.fee_units) == (Word.processing, None)
    [transfer] = fake.transfers.values()
    assert transfer["customerTransactionId"] == transaction_id(key)
    assert transfer["details"] == {"reference": "Invoice 7"}
    assert fake.recipients[0]["details"] == {"legalType": "PRIVATE", "IBAN": WANTED.payee.iban}
    for status, word in (
        ("incoming_payment_initiated", Word.processing),
        ("funds_converted", Word.processing),
        ("outgoing_payment_sent", Word.paid),
        ("bounced_back", Word.processing),
        ("cancelled", Word.failed),
        ("funds_refunded", Word.failed),
    ):
        transfer["status"] = status
        for reference in (placed.reference, None, "999"):
            found = rail.find(key, reference)
            assert found is not None
            assert (found.word, found.reference) == (word, placed.reference)
    # Its number alone is asked for where that is known.
    fake.asked.clear()
    rail.find(key, placed.reference)
    assert fake.asked == [f"GET /v1/transfers/{placed.reference}"]
    transfer.update(status="processing", hasActiveIssues=True)
    asking = rail.find(key, placed.reference)
    assert asking is not None
    assert (asking.word, len(asking.questions)) == (Word.information_required, 1)
    with pytest.raises(ProviderRefused, match="answered in your account"):
        rail.answer(key, "active_issues", "Yes", None)


def test_a_transfer_that_is_not_paid_for_is_none_and_is_funded_by_the_next_place(
    fake: FakeWise,
) -> None:
    rail, key = connected(fake), new_id("po")
    quote = rail.quote(WANTED)
    enough, fake.funds = fake.funds, FEE
    for _ in range(2):
        with pytest.raises(ProviderUnknown, match="payment-option-unavailable"):
            rail.place(key, quote.id, WANTED)
        assert rail.find(key) is None
    fake.funds, fake.asks_for_authentication = enough, True
    with pytest.raises(ProviderUnknown, match="strong customer authentication"):
        rail.place(key, quote.id, WANTED)
    fake.asks_for_authentication = False
    # By another quote, a while later: it is the same transfer, and paid for once.
    fake.now += timedelta(hours=1)
    again = rail.place(key, rail.quote(WANTED).id, WANTED)
    rail.place(key, quote.id, WANTED)
    assert (len(fake.transfers), len(fake.transactions)) == (1, 1)
    assert rail.find(key) == again
    # One of this key for another amount is a person's work, not another order.
    with pytest.raises(ProviderUnknown, match="not what was ordered"):
        rail.place(key, rail.quote(WANTED).id, replace(WANTED, units=10_001))
    assert len(fake.transactions) == 1


def test_what_wise_does_not_pay_is_refused_before_anything_is_ordered(fake: FakeWise) -> None:
    rail = connected(fake)
    local = Party(name="Anna Müller", country="US", number="1", bank_code="2")
    for wanted, code in (
        (replace(WANTED, units=0), "error.greaterThanZero"),
        (replace(WANTED, units=2_000_000_00), "not_offered"),
        (replace(WANTED, payee=local), "account_not_supported"),
    ):
        with pytest.raises(ProviderRefused) as refused:
            rail.quote(wanted)
        assert (refused.value.code, refused.value.is_quote) == (code, False)
    alone = replace(WANTED, payee=replace(WANTED.payee, name="Anna"))
    with pytest.raises(ProviderRefused) as refused:
        rail.place(new_id("po"), rail.quote(alone).id, alone)
    assert (refused.value.code, fake.transfers) == ("NOT_VALID", {})
    kinds = {"Acme GmbH": "BUSINESS", "Acme B.V.": "BUSINESS", "Anna de Co": "BUSINESS"}
    assert {name: legal_type(name) for name in kinds} == kinds
    assert legal_type("Anna Müller") == "PRIVATE"


def test_what_is_no_answer_is_not_known(fake: FakeWise) -> None:
    rail, key = connected(fake), new_id("po")
    quote = rail.quote(WANTED)
    for instead in (
        (502, b"<html>", {}),
        (200, b"<html>", {}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
        (429, b"{}", {"Retry-After": "60"}),
        (200, bytes(ANSWER_BYTES_MAX + 1), {}),
    ):
        fake.instead = instead
        for ask in (
            lambda: rail.find(key),
            lambda: rail.place(key, quote.id, WANTED),
            lambda: rail.quote(WANTED),
        ):
            with pytest.raises(ProviderUnreachable) as caught:
                ask()
            assert TOKEN not in str(caught.value)
    fake.instead = None
    # A token that is revoked says nothing of an order either, and is in no text.
    revoked = connected(fake, "other")
    for ask in (lambda: revoked.find(key), lambda: revoked.place(key, quote.id, WANTED)):
        with pytest.raises(ProviderUnknown, match="401"):
            ask()
    assert "other" not in repr(revoked)
    assert fake.transfers == {}
    # To this machine nothing is asked where that is not said.
    inside = ProviderCaller(fake.url, TOKEN, aiohttp.TCPConnector)
    with pytest.raises(ProviderUnreachable, match="its address"):
        inside.ask("GET", "/v1/transfers")


def test_its_statements_name_our_payouts_day_by_day(fake: FakeWise) -> None:
    fake.now = fake.now.replace(hour=12)
    rail, key = connected(fake), new_id("po")
    opening = int(fake.funds * 100)
    placed = rail.place(key, rail.quote(WANTED).id, WANTED)
    # What a payer sends has the number of a transfer of theirs, which is not ours to see.
    fake.others.add(34188888)
    told = {"senderName": "Petra", "paymentReference": "RF18"}
    fake.moved(Decimal(50), "TRANSFER-34188888", "DEPOSIT", **told)
    fake.moved(Decimal(-1), "TRANSFER-77", "TRANSFER")
    assert rail.list() == []
    fake.now += timedelta(days=1)
    back = fake.transfers[int(placed.reference)]
    fake.moved(back["sourceValue"] + FEE, f"TRANSFER-{placed.reference}", "TRANSFER")
    fake.now += timedelta(days=2)
    names = rail.list()
    assert len(names) == 3
    read = [read_file(rail.take(name, bytes_max=1 << 20)).statements[0] for name in names]
    assert [each.number for each in read] == [1, 2, 3]
    paid, foreign = opening - 10_053, -100
    assert [(each.opening_units, each.closing_units) for each in read] == [
        (opening, paid + 5_000 + foreign),
        (paid + 5_000 + foreign, opening + 5_000 + foreign),
        (opening + 5_000 + foreign, opening + 5_000 + foreign),
    ]
    name = compact(key)
    lines = [
        (line.units, line.end_to_end_id, line.return_code) for each in read for line in each.lines
    ]
    # What was paid with its fee, a payer's, somebody's own transfer; what came back, and its fee.
    assert lines == [
        (-10_053, name, None),
        (5_000, None, None),
        (-100, None, None),
        (10_000, name, "NARR"),
        (53, None, None),
    ]
    assert read[0].lines[1].counterparty_name == "Petra"
    rail.done(names[0])
    assert rail.list() == names[1:]
    fake.instead = (403, b"{}", {})
    with pytest.raises(BankUnreachable, match="403"):
        rail.take(names[1], bytes_max=1 << 20)
    # It is left alone for a while, and keeps no other day waiting.
    assert rail.list() == names[2:]
    fake.now += ASKED_AGAIN_AFTER
    assert rail.list() == names[1:]


def test_wises_notices_are_of_its_key_and_of_our_profile(fake: FakeWise) -> None:
    account = BankAccount(
        id="ba_1",
        account_id=None,
        livemode=True,
        role="own",
        holder="Sakk",
        country="BE",
        currency="eur",
        decimals=2,
        usable_at=fake.now,
        metadata={},
        created=fake.now,
    )
    terms = BankTerms(
        "wise",
        adapter=Adapter.provider,
        provider="wise",
        provider_account=str(PROFILE),
        trust=PUBLIC_KEY,
    )

    def read(body: bytes, *, signed: str | None = None, **more: Any) -> Any:
        headers = {"x-signature-sha256": signature(body) if signed is None else signed}
        given = replace(terms, **more)
        return read_notice(account, given, headers, body, vault=None, now=fake.now)

    body = notice(1_000, fake.now)
    told = read(body)
    assert (told.reference, told.key) == ("1000", None)
    # The same bytes are the same notice, whatever stands in the headers; others are another.
    assert read(body).id == told.id != read(notice(1_001, fake.now)).id
    # It is sent again for two weeks; one that asks whether we are there is about nothing.
    assert read(notice(1_000, fake.now - timedelta(days=14))).reference == "1000"
    asks = json.dumps({"sent_at": f"{fake.now:%Y-%m-%dT%H:%M:%SZ}", "data": {}}).encode()
    assert read(asks).reference is None
    for wrong, more, why in (
        (body + b" ", {"signed": signature(body)}, "signature"),
        (body, {"signed": ""}, "signature"),
        (body, {"signed": "é"}, "signature"),
        (body, {"trust": None}, "no public key"),
        (notice(1_000, fake.now, profile=7), {}, "profile 7"),
        (notice(1_000, fake.now - WINDOW_MAX - timedelta(hours=1)), {}, "signed at"),
        (b"{}", {}, "can not be read"),
    ):
        with pytest.raises(NoticeRefused, match=why):
            read(wrong, **more)
