"""Many gift cards at once, as rules: how many, whose codes, and what their file says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.core.test_gift_card import CARD

from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.gift_card_batch import (
    CARDS_MAX,
    CODES_AGAIN,
    GiftCardBatch,
    Kind,
    check_kinds,
    check_may_take,
    file_name,
    public,
    write_codes,
)
from sakk.core.money import UNITS_MAX

NOW = datetime(2026, 2, 3, tzinfo=UTC)
BATCH = GiftCardBatch(
    id="gcb_1",
    account_id="acct_1",
    livemode=False,
    cards=2,
    rejected=0,
    amount=100,
    currency="usdc",
    decimals=6,
    active=True,
    status="posted",
    codes_taken_at=None,
    metadata={},
    created=NOW,
)


def test_how_many_and_how_much() -> None:
    assert check_kinds([Kind(5, 2), Kind(7, 1)]) == (3, 17)
    for kinds in ([Kind(1, CARDS_MAX), Kind(1, 1)], [Kind(UNITS_MAX, 2)]):
        with pytest.raises(ParameterInvalid):
            check_kinds(kinds)


def test_codes_are_handed_out_once() -> None:
    check_may_take(BATCH, now=NOW)
    taken = replace(BATCH, codes_taken_at=NOW)
    check_may_take(taken, now=NOW + CODES_AGAIN)
    for batch, at in ((taken, NOW + CODES_AGAIN + timedelta(seconds=1)), (BATCH, NOW)):
        status = "posted" if batch is taken else "requested"
        with pytest.raises(UnexpectedState):
            check_may_take(replace(batch, status=status), now=at)
    assert (public(BATCH)["codes_taken_at"], public(taken)["codes_taken_at"]) == (
        None,
        int(NOW.timestamp()),
    )


def test_the_file_of_codes() -> None:
    expiring = replace(CARD, id="gc_2", expires_at=NOW)
    assert write_codes([(CARD, "7k3m9-x"), (expiring, "0")]) == (
        "gift_card,code,amount,currency,expires_at\n"
        "gc_1,7k3m9-x,0.000100,usdc,\n"
        "gc_2,0,0.000100,usdc,2026-02-03\n"
    )


def test_a_file_is_called_as_its_batch() -> None:
    assert file_name(BATCH) == "gcb_1.csv"
