"""The address book's rules: which addresses look alike, whose an address is, who may be paid."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import beneficiary as rules
from sakk.core.beneficiary import Beneficiary, Known
from sakk.core.errors import ParameterInvalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = "0xabc4" + "0" * 32 + "1def"
OWNER = Account.from_key("0x" + "46" * 32)
ADDRESS = OWNER.address.lower()
ENTRY = Beneficiary(
    id="ben_1",
    account_id="acct_1",
    livemode=False,
    name="Acme",
    address=ADDRESS,
    networks=["eip155:1", "eip155:8453"],
    usable_at=NOW,
    ownership=None,
    travel_rule=None,
    confirmed_unlike=None,
    description=None,
    metadata={},
    deleted=False,
    created=NOW,
)


@pytest.mark.parametrize(
    ("head", "tail", "alike"),
    [
        ("abc4", "1def", True),
        ("abc4", "2def", True),
        ("abc5", "1def", True),
        ("abc5", "2def", False),  # three and three: chance makes such pairs
        ("abd4", "1def", False),
        ("abc4", "1dee", False),
        ("bbc4", "1def", False),
    ],
)
def test_addresses_that_a_person_takes_for_one(head: str, tail: str, alike: bool) -> None:
    other = "0x" + head + "9" * 32 + tail
    assert rules.looks_like(other, KNOWN) is alike
    assert rules.looks_like(KNOWN, other) is alike


def test_an_address_does_not_look_like_itself() -> None:
    assert not rules.looks_like(KNOWN, KNOWN)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20))
def test_what_looks_alike_is_found_by_its_key(one: bytes, other: bytes) -> None:
    first, second = "0x" + one.hex(), "0x" + (one[:2] + other[2:18] + one[18:]).hex()
    assert rules.lookalike_key(first) == rules.lookalike_key(second)
    assert rules.looks_like(first, second) is (first != second)


def test_a_known_address_imitates_nobody() -> None:
    twin = "0xabc4" + "9" * 32 + "1def"
    known = [Known("0x" + "7" * 40, "x"), Known(KNOWN, "was paid before")]
    assert rules.find_lookalike(twin, known) == known[1]
    assert rules.find_lookalike(twin, [*known, Known(twin, "was paid before")]) is None
    assert rules.find_lookalike("0x" + "8" * 40, known) is None


def test_the_refusal_names_both_addresses_in_full_and_the_remedy() -> None:
    twin = "0xabc4" + "9" * 32 + "1def"
    refused = rules.lookalike_refusal(twin, Known(KNOWN, "was paid before"), param="p")
    for words in ("9" * 32, "0" * 32, "poisoning", "confirmed_unlike"):
        assert words in refused.message
    assert refused.param == "p"


def test_only_the_imitated_address_written_out_confirms() -> None:
    twin, known = "0xabc4" + "9" * 32 + "1def", Known(KNOWN, "was paid before")
    rules.check_confirmation(twin, known, KNOWN)
    rules.check_confirmation(twin, None, None)
    for imitated, confirmed, param in (
        (known, None, "address"),
        (known, twin, "address"),
        (None, KNOWN, "confirmed_unlike"),
    ):
        with pytest.raises(ParameterInvalid) as caught:
            rules.check_confirmation(twin, imitated, confirmed)
        assert caught.value.param == param


def signed(message: str) -> str:
    return "0x" + bytes(OWNER.sign_message(encode_defunct(text=message)).signature).hex()


def test_the_owners_signature_proves_the_address() -> None:
    message = rules.ownership_message("acct_1", ADDRESS)
    assert OWNER.address in message
    rules.check_ownership(
        {"type": "eip191", "signature": signed(message)}, account_id="acct_1", address=ADDRESS
    )


@pytest.mark.parametrize(
    ("proof", "said", "param"),
    [
        ({"type": "eip191"}, "not 0", "ownership[signature]"),
        ({"type": "eip191", "signature": "0xzz"}, "no signature", "ownership[signature]"),
        ({"type": "eip191", "signature": signed("hello")}, "0x", "ownership[signature]"),
        (
            {"type": "eip191", "signature": signed(rules.ownership_message("acct_2", ADDRESS))},
            "is the signature of",
            "ownership[signature]",
        ),
        ({"type": "declaration"}, "statement", "ownership[statement]"),
        (
            {"type": "declaration", "statement": "s", "signature": "0x"},
            "no signature",
            "ownership[statement]",
        ),
    ],
)
def test_a_false_proof_is_refused(proof: dict[str, Any], said: str, param: str) -> None:
    with pytest.raises(ParameterInvalid, match=said) as caught:
        rules.check_ownership(proof, account_id="acct_1", address=ADDRESS)
    assert caught.value.param == param


def test_a_declaration_is_taken_at_its_word() -> None:
    proof = {"type": "declaration", "statement": "Invoice 7 names it.", "signature": None}
    rules.check_ownership(proof, account_id="acct_1", address=ADDRESS)


@pytest.mark.parametrize(
    ("entry", "network", "said"),
    [
        (replace(ENTRY, deleted=True), "eip155:1", "deleted"),
        (ENTRY, "eip155:10", "eip155:1, eip155:8453"),
        (replace(ENTRY, usable_at=NOW + timedelta(seconds=1)), "eip155:1", "2026-01-01T00:00:01Z"),
    ],
)
def test_who_may_not_be_paid(entry: Beneficiary, network: str, said: str) -> None:
    with pytest.raises(ParameterInvalid, match=said) as caught:
        rules.check_usable(entry, network, now=NOW, param="p")
    assert caught.value.param == "p"
    rules.check_usable(ENTRY, "eip155:1", now=NOW, param="p")


def test_the_network_is_asked_for_where_there_are_several() -> None:
    assert rules.only_network(replace(ENTRY, networks=["eip155:1"]), param="p") == "eip155:1"
    with pytest.raises(ParameterInvalid, match="eip155:1, eip155:8453"):
        rules.only_network(ENTRY, param="p")


def test_the_public_entry() -> None:
    shown = rules.public_beneficiary(ENTRY, now=NOW)
    assert (shown["address"], shown["status"]) == (OWNER.address, "active")
    assert shown["confirmed_unlike"] is None
    assert shown["ownership_message"] == rules.ownership_message("acct_1", ADDRESS)
    waiting = replace(ENTRY, usable_at=rules.usable_at(NOW, 60), confirmed_unlike=ADDRESS)
    shown = rules.public_beneficiary(waiting, now=NOW)
    assert (shown["status"], shown["usable_at"]) == ("waiting", int(NOW.timestamp()) + 60)
    assert shown["confirmed_unlike"] == OWNER.address
    gone = rules.public_beneficiary(replace(ENTRY, deleted=True), now=NOW)
    assert gone == {"id": "ben_1", "object": "beneficiary", "deleted": True}


def test_networks_stand_once_in_a_fixed_order() -> None:
    assert rules.unique(["eip155:8453", "eip155:1", "eip155:8453"]) == ["eip155:1", "eip155:8453"]


def test_typed_data_is_what_wallets_sign() -> None:
    typed = rules.ownership_typed_data("acct_1", ADDRESS)
    signed = OWNER.sign_typed_data(full_message=typed)
    assert rules.ownership_digest("acct_1", ADDRESS) == bytes(signed.message_hash)
    proof = {"type": "eip712", "signature": "0x" + bytes(signed.signature).hex()}
    rules.check_ownership(proof, account_id="acct_1", address=ADDRESS)
    for changes in ({"account_id": "acct_2"}, {"address": "0x" + "11" * 20}):
        given = {"account_id": "acct_1", "address": ADDRESS, **changes}
        with pytest.raises(ParameterInvalid, match="eth_signTypedData_v4"):
            rules.check_ownership(proof, **given)
    with pytest.raises(ParameterInvalid, match="This is no signature"):
        rules.check_ownership(
            {"type": "eip712", "signature": "0x12"}, account_id="acct_1", address=ADDRESS
        )
    # A signature of one kind is not one of the other.
    with pytest.raises(ParameterInvalid, match="personal_sign"):
        rules.check_ownership({**proof, "type": "eip191"}, account_id="acct_1", address=ADDRESS)


def test_who_stands_behind_an_entry_is_shown_to_who_may_open_it() -> None:
    sealed = {"type": "natural", "wallet": "hosted", "sealed": "00ff"}
    entry = replace(ENTRY, travel_rule=sealed)
    shown = rules.public_beneficiary(entry, now=NOW)
    assert shown["travel_rule"] == {"type": "natural", "wallet": "hosted"}
    told = {**shown["travel_rule"], "name": "Lee"}
    assert rules.public_beneficiary(entry, now=NOW, travel_rule=told)["travel_rule"] == told
