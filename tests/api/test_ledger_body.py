"""Bodies of the ledger's door: the short way reads what the long way reads, and nothing crashes."""

import json
import uuid
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sakk.api.ledger_body import (
    RECORDS,
    AccountFlagName,
    Posting,
    TransferFlagName,
    read_at_once,
    read_the_long_way,
)
from sakk.core.errors import InvalidRequest
from sakk.ledger.record import RECORD_SIZE, decode_account, decode_transfer, split
from sakk.ledger.types import AMOUNT_MAX, AccountFlags, TransferFlags
from sakk.ledger.wire import ACCOUNTS, TRANSFERS, Noun, compiled, in_python, placed

JSON = "application/json"
UUID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
NOUNS = {"accounts": ACCOUNTS, "transfers": TRANSFERS}
FAST = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def long_way(noun: Noun, body: bytes, livemode: bool) -> Posting | str:
    """What the long way reads, or the error's words."""
    try:
        return read_the_long_way(noun, body, JSON, livemode=livemode)
    except InvalidRequest as error:
        return f"{error.code} {error.param}: {error.message} ({error.status})"


def agree(noun: Noun, body: bytes, livemode: bool = False) -> Posting | str:
    """Both ways read the same, or the short way leaves it to the long one."""
    by_long = long_way(noun, body, livemode)
    by_short = read_at_once(noun, body, JSON, livemode=livemode)
    assert by_short is None or by_short == by_long
    assert isinstance(by_long, Posting) or by_long.endswith(" (400)")
    return by_long


uuids = st.builds(lambda number: uuid.UUID(int=number, version=4), st.integers(0, 2**128 - 1))
spelled = st.one_of(
    uuids.map(str),
    uuids.map(lambda value: value.hex),
    uuids.map(lambda value: value.hex.upper()),
)
wholes = st.one_of(
    st.integers(0, AMOUNT_MAX),
    st.sampled_from([AMOUNT_MAX + 1, -1, 10**38, 10**39, 1.0, True, None, "", "01", "-1"]),
    st.integers(0, AMOUNT_MAX + 9).map(str),
)
anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=40)
)
# Mostly what is right, sometimes what is nearly so.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": spelled,
    "debit_account_id": spelled,
    "credit_account_id": spelled,
    "pending_id": spelled,
    "amount": wholes,
    "user_data": st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"),
    "ledger": st.sampled_from([1, 700, 2**62 - 1, 2**62, 0]),
    "code": st.sampled_from([1, 65_535, 65_536, 0]),
    "timeout_seconds": st.sampled_from([0, 1, 2**32 - 1, 2**32]),
    "effective_at": st.sampled_from([0, 1, 2**63 - 1, 2**63, "9223372036854775807"]),
}
FLAGS = {"accounts": get_args(AccountFlagName), "transfers": get_args(TransferFlagName)}
FIELDS = {"accounts": ("user_data", "ledger", "code"), "transfers": tuple(VALUES)[1:]}


@st.composite
def events(draw: st.DrawFn, noun: str) -> dict[str, Any]:
    event: dict[str, Any] = {"id": draw(spelled)}
    for field in draw(st.lists(st.sampled_from(FIELDS[noun]), unique=True)):
        event[field] = draw(VALUES[field])
    if noun == "accounts":
        event = {"ledger": 1, "code": 1} | event
    if draw(st.booleans()):
        event["flags"] = draw(st.lists(st.sampled_from(FLAGS[noun]), max_size=9))
    if draw(st.integers(0, 9)) == 0:
        event[draw(st.sampled_from([*event, "x", "transfers", "accounts"]))] = draw(anything)
    return event


@st.composite
def bodies(draw: st.DrawFn, noun: str) -> bytes:
    """JSON of one or many, in some spelling, now and then with a few bytes changed."""
    document: Any = draw(events(noun))
    if draw(st.booleans()):
        document = {noun: draw(st.lists(events(noun), max_size=4))}
    style = draw(st.sampled_from([None, (",", ":"), (" ,\n", "\t: ")]))
    ascii_only = draw(st.booleans())
    text = json.dumps(document, separators=style, ensure_ascii=ascii_only)
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(body) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                body[at] = draw(st.sampled_from(b'{}[]",:.eE-+0129 \\u\x00\x7f\xff'))
            case 1:
                del body[at]
            case _:
                body[at:at] = body[at : at + draw(st.integers(1, 30))]
    return bytes(body)


@pytest.mark.parametrize("noun", ["accounts", "transfers"])
def test_both_ways_agree_on_whatever_comes(noun: str) -> None:
    @FAST
    @given(body=bodies(noun), livemode=st.booleans())
    def check(body: bytes, livemode: bool) -> None:
        agree(NOUNS[noun], body, livemode)

    check()


@FAST
@given(st.binary(max_size=300))
@example(b"")
@example(b"{" * 100_000)
@example(b'{"transfers":[')
@example(b'\xef\xbb\xbf{"id":1}')
def test_bytes_that_are_no_json(body: bytes) -> None:
    agree(TRANSFERS, body)


EVENT = {
    "id": UUID,
    "debit_account_id": UUID,
    "credit_account_id": UUID.replace("-", ""),
    "amount": AMOUNT_MAX,
    "ledger": 700,
    "code": 65_535,
    "flags": ["linked", "pending"],
    "pending_id": UUID.upper(),
    "user_data": "0" * 31 + "1",
    "timeout_seconds": 2**32 - 1,
    "effective_at": str(2**63 - 1),
}


@pytest.mark.parametrize(
    ("document", "short"),
    [
        (EVENT, True),
        ({"transfers": [EVENT, {"id": UUID}]}, True),
        ({"id": UUID, "amount": str(AMOUNT_MAX)}, True),
        ({"id": UUID, "flags": []}, True),
        ({"id": UUID, "amount": None}, False),
        ({"id": UUID, "expand": None}, False),
    ],
)
def test_the_usual_spelling_takes_the_short_way(document: Any, short: bool) -> None:
    """Otherwise the differential test could pass because the short way reads nothing."""
    for separators in (None, (",", ":"), (" , ", "\n:\r\t")):
        body = json.dumps(document, separators=separators).encode()
        found = agree(TRANSFERS, body)
        assert isinstance(found, Posting), found
        assert (read_at_once(TRANSFERS, body, JSON, livemode=True) is not None) == short


def test_every_field_stands_where_the_record_says() -> None:
    found = agree(TRANSFERS, json.dumps(EVENT).encode(), livemode=True)
    assert isinstance(found, Posting)
    transfer = decode_transfer(found.records)
    number = uuid.UUID(UUID).int
    assert (transfer.id, transfer.debit_account_id, transfer.pending_id) == (number,) * 3
    assert (transfer.amount, transfer.code, transfer.user_data) == (AMOUNT_MAX, 65_535, 1)
    assert (transfer.unit, transfer.timestamp) == (700 | 1 << 63, 0)
    assert (transfer.timeout_seconds, transfer.effective_at) == (2**32 - 1, 2**63 - 1)
    assert transfer.flags == TransferFlags.linked | TransferFlags.pending
    body = {"id": UUID, "ledger": 3, "code": 9, "flags": ["history"], "user_data": "f" * 32}
    found = agree(ACCOUNTS, json.dumps(body).encode())
    assert isinstance(found, Posting)
    account = decode_account(found.records)
    assert account.id == number | 1 << 62
    assert (account.unit, account.code) == (3 | 3 << 62, 9)
    assert (account.flags, account.user_data) == (AccountFlags.history, 2**128 - 1)


@pytest.mark.parametrize(
    ("noun", "flags"), [("accounts", AccountFlags), ("transfers", TransferFlags)]
)
def test_every_flag_has_its_name_in_both_ways(noun: str, flags: Any) -> None:
    names = [each.name for each in flags if each]
    assert tuple(names) == FLAGS[noun]
    for name in names:
        body = {"id": UUID, "ledger": 1, "code": 1, "flags": [name]}
        found = agree(NOUNS[noun], json.dumps(body).encode())
        assert isinstance(found, Posting)
        decoded: Any = (decode_account if noun == "accounts" else decode_transfer)(found.records)
        assert decoded.flags == flags[name]
        assert read_at_once(NOUNS[noun], json.dumps(body).encode(), JSON, livemode=False) == found


def test_a_post_without_an_amount_posts_the_whole() -> None:
    body = {"id": UUID, "pending_id": UUID, "flags": ["post_pending"]}
    for document, amount in ((body, AMOUNT_MAX), (body | {"amount": 0}, 0), ({"id": UUID}, 0)):
        found = agree(TRANSFERS, json.dumps(document).encode())
        assert isinstance(found, Posting)
        assert decode_transfer(found.records).amount == amount


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"transfers": [{"id": UUID}] * 3 + [{"id": UUID, "amount": -1}]}, "transfers[3][amount]"),
        ({"id": UUID, "amount": AMOUNT_MAX + 1}, "amount"),
        ({"id": UUID, "amount": "1e3"}, "amount"),
        ({"id": UUID, "amount": 1.0}, "amount"),
        ({"id": "x"}, "id"),
        ({"id": UUID[:-1]}, "id"),
        ({"id": UUID, "flags": ["x"]}, "flags[0]"),
        ({"id": UUID, "flags": "linked"}, "flags"),
        ({"id": UUID, "flags": ["linked"] * 9}, "flags"),
        ({"id": UUID, "user_data": "xyz"}, "user_data"),
        ({"id": UUID, "code": "1"}, "code"),
        ({"transfers": {}}, "transfers"),
        ({"transfers": [7]}, "transfers[0]"),
    ],
)
def test_what_is_wrong_is_named(document: Any, error: str) -> None:
    found = agree(TRANSFERS, json.dumps(document).encode())
    assert isinstance(found, str)
    assert found.split(" ")[1] == f"{error}:"


def test_a_name_given_twice_is_refused() -> None:
    found = agree(TRANSFERS, f'{{"id":"{UUID}","amount":1,"amount":2}}'.encode())
    assert isinstance(found, str)
    assert "twice" in found


near = st.one_of(
    st.binary(min_size=16, max_size=16),
    uuids.map(lambda value: value.bytes),
    st.just(bytes(16)),
)


@st.composite
def record_bodies(draw: st.DrawFn) -> bytes:
    """Records whose ids and units are mostly such as may be named."""
    made = bytearray()
    for _ in range(draw(st.integers(0, 3))):
        record = bytearray(draw(st.binary(min_size=RECORD_SIZE, max_size=RECORD_SIZE)))
        for offset in (0, 16, 32, 64):
            record[offset : offset + 16] = draw(near)
        unit = draw(st.one_of(st.integers(0, 2**62), st.integers(0, 2**64 - 1)))
        record[96:104] = unit.to_bytes(8, "little")
        made += record
    return bytes(made) + draw(st.binary(max_size=3))


@pytest.mark.parametrize("name", ["accounts", "transfers"])
def test_records_are_placed_alike_in_both_languages(name: str) -> None:
    nouns = compiled(name), in_python(name)

    @FAST
    @given(body=record_bodies(), livemode=st.booleans())
    def check(body: bytes, livemode: bool) -> None:
        found = [_placed(noun, body, livemode) for noun in nouns]
        assert found[0] == found[1]
        if isinstance(found[0], bytes):
            for before, after in zip(split(body), split(found[0]), strict=True):
                # Amounts, totals, user data, codes, flags and times are the caller's own.
                assert after[48:64] == before[48:64]
                assert after[104:] == before[104:]
                assert after[8] & 0xC0 == (0x80 if livemode else 0xC0)

    check()


def _placed(noun: Noun, body: bytes, livemode: bool) -> bytes | str:
    try:
        return placed(noun, body, livemode=livemode)
    except InvalidRequest as error:
        return f"{error.param}: {error.message}"


@pytest.mark.parametrize("name", ["accounts", "transfers"])
def test_results_are_written_alike_in_both_languages(name: str) -> None:
    plain, quick = in_python(name), compiled(name)
    count = len(plain.status)
    times = [0, 9, 10, 2**63 - 1, 2**64 - 1, *range(1, count)][:count]
    results = b"".join(each.to_bytes(8, "little") for each in times) + bytes(range(count))
    assert quick.write(results) == plain.write(results)
    found = json.loads(quick.write(results))
    assert [each["status"] for each in found] == [each.name for each in plain.status]
    assert [each["timestamp"] for each in found] == times
    assert [each["transient"] for each in found] == [each.transient for each in plain.status]
    assert quick.write(b"") == plain.write(b"") == b"[]"
    with pytest.raises((ValueError, IndexError)):
        quick.write(bytes(8) + b"\xfe")


def test_records_by_their_media_type() -> None:
    record = uuid.UUID(UUID).bytes + bytes(RECORD_SIZE - 16)
    found = read_at_once(TRANSFERS, record * 2, RECORDS, livemode=True)
    assert found is not None
    assert found.records == record * 2
    assert read_at_once(TRANSFERS, record, "text/plain", livemode=True) is None


@pytest.mark.parametrize("name", ["accounts", "transfers"])
@FAST
@given(st.lists(uuids, max_size=5), st.binary(min_size=128, max_size=128), st.booleans())
def test_what_is_found_is_shown_alike_in_both_languages(
    name: str, ids: list[uuid.UUID], record: bytes, test: bool
) -> None:
    plain, quick = in_python(name), compiled(name)
    asked = b"".join(each.bytes for each in ids) + record
    assert quick.place_ids(asked, test) == plain.place_ids(asked, test)
    assert quick.show(record + bytes(128)) == plain.show(record + bytes(128))
    middle, result = b'","x":1,', (7).to_bytes(8, "little") + b"\1"
    assert quick.write.one(record, result, middle) == plain.write.one(record, result, middle)


def test_records_are_shown_as_they_were_placed() -> None:
    event = dict.fromkeys(("id", "debit_account_id", "credit_account_id", "user_data"), UUID)
    body = json.dumps(event | {"amount": 5, "ledger": 9, "code": 1}).encode()
    for livemode in (False, True):
        written = read_at_once(TRANSFERS, body, JSON, livemode=livemode)
        assert written is not None
        shown = TRANSFERS.show(written.records)
        assert placed(TRANSFERS, shown, livemode=livemode) == written.records
    with pytest.raises(ValueError, match="one result"):
        TRANSFERS.write.one(bytes(128), bytes(18), b"")
    with pytest.raises(ValueError, match="no status 250"):
        TRANSFERS.write.one(bytes(128), bytes(8) + b"\xfa", b"")
