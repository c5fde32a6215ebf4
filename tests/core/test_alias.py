"""Aliases: which names there can be, what a code says, and what of a name is shown."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.alias import (
    NOTE_LENGTH_MAX,
    Alias,
    AliasKind,
    Recipient,
    check_note,
    masked,
    pay_code,
    public,
    public_recipient,
    read_alias,
    read_recipient,
)
from sakk.core.errors import ParameterInvalid
from sakk.core.money import UNITS_MAX

ACCOUNT = "acct_01jd8k00000000000000000000"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("email", "a+b@mail.example.co", "a+b@mail.example.co"),
        ("handle", "@Ann.Lee", "ann.lee"),
        ("handle", "ann_1", "ann_1"),
    ],
)
def test_names_are_compared_as_they_are_stored(kind: str, text: str, value: str) -> None:
    assert read_alias(AliasKind(kind), text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "ann"),
        ("email", "ann@localhost"),
        ("email", "ann@@example.com"),
        ("email", "аnn@example.com"),  # the first letter is Cyrillic
        ("email", "ann@example.com\nbcc: x@y.z"),
        ("email", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}"),
        ("handle", "an"),
        ("handle", "a" * 31),
        ("handle", "1ann"),
        ("handle", "ann..lee"),
        ("handle", "ann_"),
        ("handle", "ａnn"),
        ("handle", "sakk_support"),
        ("handle", "the.bank"),
    ],
)
def test_names_that_can_not_be(kind: str, text: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_alias(AliasKind(kind), text)
    assert caught.value.param == "value"


@pytest.mark.parametrize(
    ("text", "recipient"),
    [
        (ACCOUNT, Recipient("account", ACCOUNT)),
        ("@Ann", Recipient("handle", "ann")),
        ("Ann@example.com", Recipient("email", "ann@example.com")),
        ("sakk:pay?to=@ann", Recipient("handle", "ann")),
        (
            f"SAKK:PAY?to={ACCOUNT}&amount=5&currency=USDC&note=for%20tea",
            Recipient("account", ACCOUNT, 5, "usdc", "for tea"),
        ),
    ],
)
def test_who_is_paid(text: str, recipient: Recipient) -> None:
    assert read_recipient(text) == recipient


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "po_01jd8k00000000000000000000",
        "sakk:pay?",
        "sakk:pay?to=@ann&to=@bob",
        "sakk:pay?to=@ann&amount=5",
        "sakk:pay?to=@ann&currency=usdc",
        "sakk:pay?to=@ann&amount=0&currency=usdc",
        "sakk:pay?to=@ann&amount=-5&currency=usdc",
        "sakk:pay?to=@ann&amount=1.5&currency=usdc",
        "sakk:pay?to=@ann&amount=٥&currency=usdc",
        f"sakk:pay?to=@ann&amount={UNITS_MAX + 1}&currency=usdc",
        "sakk:pay?to=@ann&amount=5&currency=u-s",
        "sakk:pay?to=@ann&callback=https://evil.example",
        "sakk:pay?to=@ann&note=a%0Ab",
        "sakk:pay?to=@ann&note=%E2%80%AEnna",  # turns the text around
        "sakk:pay?to=sakk:pay?to=@ann",
        "sakk:pay?to=%20sakk:pay%3Fto%3D@ann",
        "sakk:pay?note=only",
        "sakk:pay?to=@ann&a=1&b=2&c=3&d=4",
        f"sakk:pay?to=@ann&note={'n' * (NOTE_LENGTH_MAX + 1)}",
    ],
)
def test_who_can_not_be_paid(text: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        read_recipient(text)
    assert caught.value.param == "destination"


@given(
    amount=st.none() | st.integers(1, UNITS_MAX),
    note=st.none() | st.text("aé漢&=#+% ?", min_size=1, max_size=NOTE_LENGTH_MAX),
)
def test_what_a_code_says_is_read_back(amount: int | None, note: str | None) -> None:
    currency = None if amount is None else "usdc"
    code = pay_code("@ann", amount=amount, currency=currency, note=note)
    assert read_recipient(code) == Recipient("handle", "ann", amount, currency, note)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, None),
        ("", None),
        ("Harbour Coffee", "H••• C•••"),
        ("Li", "L•••"),
        ("李小龍", "李•••"),
        ("a b c d e", "a••• b••• c•••"),
        ("\u202e <b>", "b•••"),
        ("... !!!", None),
    ],
)
def test_of_a_name_little_is_shown(name: str | None, shown: str | None) -> None:
    assert masked(name) == shown


def test_a_note_is_one_printed_line() -> None:
    assert check_note("for tea") == "for tea"


def test_what_is_shown() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    alias = Alias(
        "als_1", "acct_1", False, "handle", "ann", "active", None, None, moment, {}, moment
    )
    assert public(alias)["activated_at"] == int(moment.timestamp())
    pending = Alias(
        "als_2", "acct_1", True, "email", "a@b.c", "pending", "h", moment, None, {}, moment
    )
    assert (public(pending)["activated_at"], "h" in public(pending).values()) == (None, False)
    to = Recipient("handle", "ann", 5, "usdc", "tea")
    assert public_recipient(to, "A•••", livemode=False)["to"] == "@ann"
    assert public_recipient(Recipient("email", "a@b.c"), None, livemode=True)["to"] == "a@b.c"
