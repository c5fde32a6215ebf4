from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.bank_reference import (
    BankReference,
    epc_text,
    found_in,
    is_reference,
    make,
    printed,
    public,
)
from sakk.core.errors import ParameterInvalid

# The standard's own example, and one of the Finnish banks'.
KNOWN = ("RF18539007547034", "RF712348231")
IBAN = "DE89370400440532013000"


@pytest.mark.parametrize("reference", KNOWN)
def test_known_references(reference: str) -> None:
    assert is_reference(reference)
    assert printed(reference).replace(" ", "") == reference


@pytest.mark.parametrize(
    "text", ["", "RF", "RF00", "RF19539007547034", "rf18539007547034", "X" * 9]
)
def test_what_is_none(text: str) -> None:
    assert not is_reference(text)


@given(st.text(min_size=1, max_size=40))
def test_made_ones_are_found_however_they_are_written(identifier: str) -> None:
    reference = make(identifier)
    assert is_reference(reference)
    assert make(identifier) == reference
    for text in (reference, printed(reference), f"Invoice 7, {printed(reference).lower()}, thanks"):
        assert reference in found_in(text)
    # Banks break lines at 35 characters, and add words without a space.
    assert reference in found_in(f"SVWZ+{reference[:9]}\n{reference[9:]}ABWA")


@given(st.integers(4, 19), st.sampled_from("0123456789ACDEF"))
def test_a_mistyped_one_is_never_another(place: int, digit: str) -> None:
    reference = make("bref_1")
    typed = reference[:place] + digit + reference[place + 1 :]
    assert is_reference(typed) is (typed == reference)


def test_what_the_code_says() -> None:
    text = epc_text(holder="Sakk", iban=IBAN, bic=None, reference=KNOWN[0], cents=1234)
    assert text.split("\n") == [
        *("BCD", "002", "1", "SCT", "", "Sakk", IBAN, "EUR12.34", "", KNOWN[0])
    ]
    whole = epc_text(
        holder="界" * 200, iban=IBAN, bic="COBADEFFXXX", reference=KNOWN[0], cents=None
    )
    assert whole.split("\n")[5] == "界" * 70
    assert whole.split("\n")[7] == ""


def test_a_name_of_many_bytes_is_cut_and_no_other_field() -> None:
    longest = "MT84MALT011000012345MTLCAST001S"
    told = epc_text(
        holder="𠮷\n" * 100, iban=longest, bic="COBADEFFXXX", reference=KNOWN[0], cents=10**11 - 1
    )
    assert len(told.encode()) <= 331
    assert told.split("\n") == [
        *("BCD", "002", "1", "SCT", "COBADEFFXXX", " ".join("𠮷" * 35), longest),
        *("EUR999999999.99", "", KNOWN[0]),
    ]
    crowded = epc_text(
        holder="𠮷" * 70, iban=longest, bic="COBADEFFXXX", reference=KNOWN[0], cents=10**11 - 1
    )
    assert 327 < len(crowded.encode()) <= 331
    assert set(crowded.split("\n")[5]) == {"𠮷"}


@pytest.mark.parametrize("cents", [0, -1, 10**11])
def test_amounts_that_no_code_asks_for(cents: int) -> None:
    with pytest.raises(ParameterInvalid, match=r"0\.01 to 999999999\.99"):
        epc_text(holder="Sakk", iban=IBAN, bic=None, reference=KNOWN[0], cents=cents)


def test_what_is_shown() -> None:
    row = BankReference(
        id="bref_1",
        account_id="acct_1",
        livemode=False,
        bank_account="ba_1",
        reference=KNOWN[0],
        metadata={},
        created=datetime(2026, 11, 26, tzinfo=UTC),
    )
    shown = public(row, holder="Sakk", iban=IBAN, bic=None)
    assert shown["reference_printed"] == "RF18 5390 0754 7034"
