"""The Travel Rule Protocol: addresses as others encode them, and messages read strictly."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.errors import InvalidRequest, ParameterInvalid
from sakk.core.trp import (
    API_VERSION,
    BODY_BYTES_MAX,
    Confirmation,
    Resolution,
    confirmation_body,
    decode_travel_address,
    encode_travel_address,
    inquiry_body,
    read_confirmation,
    read_inquiry,
    read_message,
    read_resolution,
    resolution_body,
)

# Vectors of the Travel Rule Information Sharing Architecture's implementation (MIT).
VECTORS = [
    ("https://beneficiary.com/x/12345?t=i", "ta2W2HPKfHxgSgrzY178knqXHg1H3jfeQrwQ9JrKBs9wv"),
    (
        "https://trisa.beneficiary.com/x/12345?t=i",
        "ta4uMjxqDq4t7nefCdrm4ssCTewVbvBLzmUnVcYe4SXqGafPTPewG",
    ),
    (
        "https://beneficiary.com:8000/x/12345?t=i",
        "takLQA9MSCjHr3kkHh4fnC5rWNbrySUJhTwQHZsML2anv95kkqe",
    ),
    (
        "https://api.testing.21analytics.xyz/transfers/01H11RHY53MBMEQB1VJ4KJF39Z?t=i",
        "ta2SRCMhxtdtKVfoV2MTziaN7F9WD7WKyGvynQa7w3as7ziTr583ZRU1DeKarHjFrLSxuQAZLciZMqry4Yk797qKEr"
        "WYnCmj8sLaH",
    ),
]
PARTY = {
    "legalPerson": {
        "name": {
            "nameIdentifier": [{"legalPersonName": "Acme", "legalPersonNameIdentifierType": "LEGL"}]
        }
    }
}
IVMS101 = {"originator": {"originatorPersons": [PARTY]}}


@pytest.mark.parametrize(("url", "address"), VECTORS)
def test_travel_addresses(url: str, address: str) -> None:
    assert decode_travel_address(address) == url
    assert encode_travel_address(url) == address
    assert encode_travel_address(url.removesuffix("?t=i")) == address


def test_a_query_of_its_own_is_kept() -> None:
    address = encode_travel_address("https://example.com/x?a=1")
    assert decode_travel_address(address) == "https://example.com/x?a=1&t=i"


@given(path=st.text("abcdefghijklmnopqrstuvwxyz0123456789-_/", max_size=200))
def test_travel_addresses_come_back(path: str) -> None:
    url = f"https://example.com/{path}?t=i"
    assert decode_travel_address(encode_travel_address(url)) == url


@pytest.mark.parametrize("url", ["http://example.com/", "example.com/x", "https://"])
def test_no_travel_address_can_be_made_of(url: str) -> None:
    with pytest.raises(ValueError, match="https URL"):
        encode_travel_address(url)


def raw(text: bytes) -> str:
    """A travel address of any bytes, as nobody should make one."""
    from sakk.core import trp

    return "ta" + trp._base58(text + trp._checksum(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lnurl1abc", "begins with ta"),
        ("ta" + "2" * 2_000, "begins with ta"),
        ("ta", "mistyped"),
        ("ta2W2HPKfHxgSgrzY178knqXHg1H3jfeQrwQ9JrKBs9wu", "mistyped"),
        ("ta2W2HPKfHxgSgrzY178knqXHg1H3jfeQrwQ9JrKBs9w0", "mistyped"),
        (raw(b"http://example.com?t=i"), "no URL"),
        (raw(b"example.com/x"), "no URL"),
        (raw(b"example.com/x?t=j"), "no URL"),
        (raw(b"/x?t=i"), "no URL"),
        (raw(b"[::1?t=i"), "no URL"),
        (raw("exämple.com?t=i".encode()), "no URL"),
    ],
)
def test_what_is_no_travel_address(text: str, words: str) -> None:
    with pytest.raises(ParameterInvalid, match=words) as refused:
        decode_travel_address(text, param="p")
    assert refused.value.param == "p"


def inquiry(**changes: Any) -> bytes:
    document = {
        "asset": {"slip0044": 60},
        "amount": 0.25,
        "callback": "https://example.com/cb",
        "IVMS101": IVMS101,
        **changes,
    }
    kept = {key: value for key, value in document.items() if value is not None}
    return json.dumps(kept).encode()


def test_inquiries_come_back_exactly() -> None:
    body = inquiry_body({"dti": "4H95J0R2X"}, "0.100000000000000001", "https://e.com/cb", IVMS101)
    assert b'"amount":0.100000000000000001,' in body
    found = read_inquiry(body)
    assert found.amount == Decimal("0.100000000000000001")
    assert found.asset == {"dti": "4H95J0R2X"}
    assert found.callback == "https://e.com/cb"
    assert found.payload.originator is not None


@pytest.mark.parametrize(("amount", "exact"), [(3, "3"), ("3.50", "3.50"), (0.25, "0.25")])
def test_amounts_as_numbers_or_texts(amount: Any, exact: str) -> None:
    assert read_inquiry(inquiry(amount=amount)).amount == Decimal(exact)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"asset": None}, "asset"),
        ({"asset": {}}, "asset"),
        ({"asset": "ETH"}, "asset"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 1e40}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "1,5"}, "amount"),
        ({"IVMS101": None}, "IVMS101"),
        ({"IVMS101": {"sender": {}}}, "IVMS101[sender]"),
        ({"callback": None}, "callback"),
        ({"callback": "https://exämple.com"}, "callback"),
        ({"callback": "https://" + "x" * 2_000}, "callback"),
    ],
)
def test_what_is_no_inquiry(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read_inquiry(inquiry(**changes))
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "a JSON object"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b'{"a": NaN}', "no number"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"a": ' + b"9" * 61 + b"}", "too long"),
        (b"[" * 17 + b"]" * 17, "levels deep"),
        (b" " * (BODY_BYTES_MAX + 1), "at most"),
    ],
)
def test_hostile_messages(body: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_message(body)


def test_brackets_within_texts_are_no_depth() -> None:
    assert read_message(json.dumps({"a": "[" * 50 + '"'}).encode()) == {"a": "[" * 50 + '"'}


@pytest.mark.parametrize(
    ("resolution", "final"),
    [
        (Resolution(), False),
        (Resolution(rejected="We do not know them."), True),
        (Resolution(address="0xabc", callback="https://e.com/c"), True),
    ],
)
def test_resolutions(resolution: Resolution, final: bool) -> None:
    body = resolution_body(resolution)
    assert read_resolution(body) == resolution
    assert resolution.is_final is final
    if not final:
        assert json.loads(body) == {"version": API_VERSION}


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"approved": {"address": "a", "callback": "b"}, "rejected": "c"}, "rejected"),
        ({"rejected": " "}, "rejected"),
        ({"rejected": "x" * 501}, "rejected"),
        ({"rejected": 1}, "rejected"),
        ({"approved": "yes"}, "approved"),
        ({"approved": {"callback": "b"}}, "approved[address]"),
        ({"approved": {"address": "a"}}, "approved[callback]"),
    ],
)
def test_what_is_no_resolution(document: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        read_resolution(json.dumps(document).encode())
    assert refused.value.param == param


@pytest.mark.parametrize(
    "confirmation", [Confirmation(txid="0xabc"), Confirmation(canceled="Not sent.")]
)
def test_confirmations(confirmation: Confirmation) -> None:
    assert read_confirmation(confirmation_body(confirmation)) == confirmation


@pytest.mark.parametrize("document", [{}, {"txid": "a", "canceled": "b"}])
def test_what_is_no_confirmation(document: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid, match="one of them"):
        read_confirmation(json.dumps(document).encode())
