"""goAML reports against the structure of the public schema 4.0: elements, order, types, lengths.

The XSD itself is each authority's to give out and is not here. ``SCHEMA`` below is the structure of
"Standard XML Reporting Instructions and Specifications", version 4.0 (UNODC), for the part that
these reports use: what must be there, in which order, and what each leaf may hold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import goaml
from sakk.core.errors import ParameterInvalid, ParameterMissing
from sakk.core.goaml import Client, Movement, Report

ENTITY: dict[str, Any] = {
    "rentity_id": 4711,
    "name": "Coffee & Coins <Ltd>",
    "swift": "COFFXX22",
    "person": {
        "first_name": "Dora",
        "last_name": "O'Brien",
        "email": "dora@example.com",
        "occupation": "MLRO",
    },
    "location": {"address": "1 Main Street", "city": "Valletta", "country_code": "MT"},
    "currency": "EUR",
}
REPORT = Report(
    reference="case_01m8b2ttdrf4gr78w1y1gxyb4q",
    submitted=datetime(2026, 11, 26, 12, 30, tzinfo=timezone(timedelta(hours=8))),
    reason="The sender is on a list.",
    action="The coins are held.",
    indicators=("SAN", "VA1"),
    client=Client(
        "Alice & Sons", "01m8b2ttdrf4gr78w1y1gxyb4q", datetime(2026, 1, 1, tzinfo=UTC), "FR"
    ),
    movement=Movement(
        number="pin_01m8b2ttdrf4gr78w1y1gxyb4q",
        is_incoming=True,
        at=datetime(2026, 11, 25, 1, 2, 3, tzinfo=UTC),
        network="eip155:8453",
        currency="usdc",
        amount=Decimal("25.000001"),
        rate=Decimal("0.92"),
        sender="0x" + "aa" * 20,
        receiver="0x" + "bb" * 20,
        tx_hash="0x" + "cd" * 32,
    ),
)

TEXT = r".*"
INTEGER = r"[1-9][0-9]*"
DECIMAL = r"[0-9]+(\.[0-9]+)?"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
CODE = r"\S+"


@dataclass(frozen=True)
class Leaf:
    """An element with text: a pattern and a length."""

    pattern: str = TEXT
    length_max: int = 255
    required: bool = True


@dataclass(frozen=True)
class Node:
    """A sequence of elements, each (name, what); ``many``: it may be there more than once."""

    parts: tuple[tuple[str, "Leaf | Node"], ...]
    required: bool = True
    many: bool = False


def optional(pattern: str = TEXT, length_max: int = 255) -> Leaf:
    return Leaf(pattern, length_max, required=False)


FOREIGN = Node(
    (
        ("foreign_currency_code", Leaf(CODE, 20)),
        ("foreign_amount", Leaf(DECIMAL)),
        ("foreign_exchange_rate", Leaf(DECIMAL)),
    ),
    required=False,
)
ACCOUNT = Node(
    (
        ("institution_name", Leaf(TEXT, 255)),
        ("institution_code", Leaf(TEXT, 50)),
        ("non_bank_institution", optional("true|false", 5)),
        ("branch", optional(TEXT, 255)),
        ("account", Leaf(CODE, 50)),
        ("currency_code", optional(CODE, 5)),
        ("account_name", optional(TEXT, 255)),
    )
)
ACCOUNT_MY_CLIENT = Node(
    (
        ("institution_name", Leaf(TEXT, 255)),
        ("swift", Leaf(CODE, 11)),
        ("non_bank_institution", optional("true|false", 5)),
        ("branch", Leaf(TEXT, 255)),
        ("account", Leaf(CODE, 50)),
        ("currency_code", Leaf(CODE, 5)),
        ("account_name", optional(TEXT, 255)),
        ("iban", optional(CODE, 34)),
        ("client_number", optional(CODE, 30)),
        ("personal_account_type", Leaf(CODE, 20)),
        (
            "t_entity",
            Node(
                (
                    ("name", Leaf(TEXT, 255)),
                    ("incorporation_country_code", optional("[A-Z]{2}", 2)),
                ),
                required=False,
            ),
        ),
        ("opened", Leaf(MOMENT, 19)),
        ("status_code", Leaf(CODE, 20)),
    )
)


def side(end: str, account: Node) -> Node:
    return Node(
        (
            (f"{end}_funds_code", Leaf(CODE, 20)),
            (f"{end}_funds_comment", optional(TEXT, 255)),
            (f"{end}_foreign_currency", FOREIGN),
            (f"{end}_account", account),
            (f"{end}_country", Leaf("[A-Z]{2}", 2)),
        ),
        required=False,
    )


SCHEMA = Node(
    (
        ("rentity_id", Leaf(INTEGER, 20)),
        ("rentity_branch", optional(TEXT, 255)),
        ("submission_code", Leaf("E|M", 1)),
        ("report_code", Leaf(CODE, 20)),
        ("entity_reference", optional(TEXT, 255)),
        ("fiu_ref_number", optional(TEXT, 255)),
        ("submission_date", Leaf(MOMENT, 19)),
        ("currency_code_local", Leaf("[A-Z]{3,5}", 5)),
        (
            "reporting_person",
            Node(
                (
                    ("first_name", Leaf(TEXT, 100)),
                    ("last_name", Leaf(TEXT, 100)),
                    ("email", optional(TEXT, 255)),
                    ("occupation", optional(TEXT, 255)),
                )
            ),
        ),
        (
            "location",
            Node(
                (
                    ("address_type", Leaf(CODE, 20)),
                    ("address", Leaf(TEXT, 100)),
                    ("town", optional(TEXT, 255)),
                    ("city", Leaf(TEXT, 255)),
                    ("zip", optional(TEXT, 10)),
                    ("country_code", Leaf("[A-Z]{2}", 2)),
                )
            ),
        ),
        ("reason", Leaf(TEXT, 4000)),
        ("action", Leaf(TEXT, 4000)),
        (
            "transaction",
            Node(
                (
                    ("transactionnumber", Leaf(CODE, 50)),
                    ("internal_ref_number", optional(CODE, 50)),
                    ("transaction_location", optional(TEXT, 255)),
                    ("transaction_description", optional(TEXT, 4000)),
                    ("date_transaction", Leaf(MOMENT, 19)),
                    ("transmode_code", Leaf(CODE, 20)),
                    ("transmode_comment", optional(TEXT, 50)),
                    ("amount_local", Leaf(DECIMAL, 30)),
                    ("t_from_my_client", side("from", ACCOUNT_MY_CLIENT)),
                    ("t_from", side("from", ACCOUNT)),
                    ("t_to_my_client", side("to", ACCOUNT_MY_CLIENT)),
                    ("t_to", side("to", ACCOUNT)),
                ),
                many=True,
            ),
        ),
        ("report_indicators", Node((("indicator", Leaf(CODE, 20)),), many=False)),
    )
)


def faults(element: ElementTree.Element, shape: "Leaf | Node", path: str) -> Iterator[str]:
    """What of an element departs from the schema, in words."""
    if isinstance(shape, Leaf):
        text = element.text or ""
        if len(element):
            yield f"{path} has elements"
        if len(text) > shape.length_max:
            yield f"{path} has {len(text)} characters"
        if re.fullmatch(shape.pattern, text, re.DOTALL) is None or not text:
            yield f"{path} is {text!r}"
        return
    order = [name for name, _ in shape.parts]
    found = [child.tag for child in element]
    for name in found:
        if name not in order:
            yield f"{path}/{name} is unknown"
    places = [order.index(name) for name in found if name in order]
    if places != sorted(places):
        yield f"{path} is out of order: {found}"
    for name, part in shape.parts:
        several = (isinstance(part, Node) and part.many) or name == "indicator"
        count = found.count(name)
        if part.required and not count:
            yield f"{path}/{name} is missing"
        if count > 1 and not several:
            yield f"{path}/{name} is there {count} times"
        for child in element.findall(name):
            yield from faults(child, part, f"{path}/{name}")


def check(xml: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(xml)
    assert root.tag == "report"
    assert list(faults(root, SCHEMA, "report")) == []
    # One side from, one side to, and one of the two is our own client.
    for transaction in root.findall("transaction"):
        sides = {child.tag for child in transaction if child.tag.startswith("t_")}
        assert sides in ({"t_from", "t_to_my_client"}, {"t_from_my_client", "t_to"})
    return root


def entity(**changes: Any) -> goaml.Entity:
    return goaml.read_entity({**ENTITY, **changes})


def test_a_pay_in_is_a_transaction_to_our_client() -> None:
    root = check(goaml.render(REPORT, entity()))

    def text(path: str) -> str | None:
        return root.findtext(path)

    assert text("submission_date") == "2026-11-26T04:30:00"
    assert text("transaction/date_transaction") == "2026-11-25T01:02:03"
    assert text("transaction/amount_local") == "23.00"
    assert text("transaction/t_from/from_account/account") == "0x" + "aa" * 20
    assert text("transaction/t_from/from_country") == "ZZ"
    ours = "transaction/t_to_my_client/to_account"
    assert text(f"{ours}/account") == "0x" + "bb" * 20
    assert text(f"{ours}/institution_name") == "Coffee & Coins <Ltd>"
    assert text(f"{ours}/t_entity/name") == "Alice & Sons"
    assert text(f"{ours}/t_entity/incorporation_country_code") == "FR"
    foreign = "transaction/t_from/from_foreign_currency"
    assert text(f"{foreign}/foreign_currency_code") == "USDC"
    assert text(f"{foreign}/foreign_amount") == "25.000001"
    assert text(f"{foreign}/foreign_exchange_rate") == "0.92"
    assert [each.text for each in root.iter("indicator")] == ["SAN", "VA1"]
    assert "transaction 0xcd" in (text("transaction/transaction_description") or "")


def test_a_payout_is_a_transaction_from_our_client() -> None:
    movement = replace(REPORT.movement, is_incoming=False, tx_hash=None, amount=Decimal("1E+3"))
    configured = entity(branch="Main", unknown_country="XX", report_code="SAR", funds_code="VA")
    root = check(goaml.render(replace(REPORT, movement=movement), configured))
    assert root.findtext("rentity_branch") == "Main"
    assert root.findtext("report_code") == "SAR"
    assert root.findtext("transaction/t_to/to_country") == "XX"
    assert root.findtext("transaction/t_from_my_client/from_funds_code") == "VA"
    assert root.findtext("transaction/t_from_my_client/from_account/account") == "0x" + "aa" * 20
    assert root.findtext("transaction/t_to/to_foreign_currency/foreign_amount") == "1000"
    assert "transaction 0x" not in (root.findtext("transaction/transaction_description") or "")


def test_the_structure_test_can_fail() -> None:
    good = goaml.render(REPORT, entity())
    for wrong, right, fault in (
        (
            b"<submission_code>X</submission_code>",
            b"<submission_code>E</submission_code>",
            "is 'X'",
        ),
        (b"", b"<action>The coins are held.</action>", "action is missing"),
        (b"<city></city>", b"<city>Valletta</city>", "is ''"),
        (b"<nonsense/>\n<reason>", b"<reason>", "nonsense is unknown"),
        (b"<action>x</action>\n<reason>", b"<reason>", "out of order"),
        (b"<city>" + b"x" * 256 + b"</city>", b"<city>Valletta</city>", "256 characters"),
    ):
        assert right in good
        root = ElementTree.fromstring(good.replace(right, wrong, 1))
        assert any(fault in each for each in faults(root, SCHEMA, "report")), fault


@given(st.text(min_size=1, max_size=6_000), st.text(max_size=300))
def test_no_text_breaks_a_report(reason: str, name: str) -> None:
    """Markup is escaped, what XML can not hold is taken out, what is too long is cut."""
    client = replace(REPORT.client, name=f"x{name}")
    written = replace(REPORT, reason=f"because {reason}", client=client)
    root = check(goaml.render(written, entity()))
    assert root.findtext("reason") == goaml.clean(f"because {reason}", 4_000)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b\x0bc\x1f", "abc"),
        ("a\ufffe\uffff", "a"),
        ("\ud800", ""),
        ("invoice\u202efdp", "invoicefdp"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("谢谢 🙂", "谢谢 🙂"),
        ("x" * 20, "x" * 10),
    ],
)
def test_what_is_taken_out_of_text(text: str, cleaned: str) -> None:
    assert goaml.clean(text, 10) == cleaned


def test_a_configuration_is_read_and_shown_as_it_is() -> None:
    configured = entity(report_code="SAR", unknown_country="XX")
    assert goaml.read_entity(goaml.entity_document(configured)) == configured


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"rentity_id": 0}, ParameterInvalid, "rentity_id"),
        ({"rentity_id": "7"}, ParameterInvalid, "rentity_id"),
        ({"rentity_id": True}, ParameterInvalid, "rentity_id"),
        ({"name": ""}, ParameterMissing, "name"),
        ({"name": None}, ParameterMissing, "name"),
        ({"name": "a\x00"}, ParameterInvalid, "name"),
        ({"name": "x" * 256}, ParameterInvalid, "name"),
        ({"name": 7}, ParameterInvalid, "name"),
        ({"colour": "red"}, ParameterInvalid, "colour"),
        ({"currency": "euro"}, ParameterInvalid, "currency"),
        ({"report_code": "S R"}, ParameterInvalid, "report_code"),
        ({"unknown_country": "zz"}, ParameterInvalid, "unknown_country"),
        ({"person": "Dora"}, ParameterMissing, "person"),
        ({"person": {"first_name": "Dora"}}, ParameterMissing, "person.last_name"),
        ({"location": {**ENTITY["location"], "planet": "x"}}, ParameterInvalid, "location.planet"),
        (
            {"location": {**ENTITY["location"], "country_code": "M"}},
            ParameterInvalid,
            "location.country_code",
        ),
    ],
)
def test_what_is_no_configuration(
    changes: dict[str, Any], error: type[ParameterInvalid | ParameterMissing], param: str
) -> None:
    with pytest.raises(error) as raised:
        entity(**changes)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("reason", "action", "indicators", "param"),
    [
        ("", "held", ["A"], "reason"),
        ("  ", "held", ["A"], "reason"),
        ("x" * 4_001, "held", ["A"], "reason"),
        ("why", "", ["A"], "action"),
        ("why", "held", [], "indicators"),
        ("why", "held", ["A"] * 21, "indicators"),
        ("why", "held", ["A", "a b"], "indicators[1]"),
    ],
)
def test_what_is_no_report(reason: str, action: str, indicators: list[str], param: str) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        goaml.check_report(reason, action, indicators)
    assert raised.value.param == param
    goaml.check_report("why", "held", ["A"])
