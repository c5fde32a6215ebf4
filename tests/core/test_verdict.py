"""What rules make of facts: a table for each kind of rule, worked by hand."""

from dataclasses import replace
from itertools import permutations

import pytest

from sakk.core.label import Category
from sakk.core.rule import BUILT_IN, BUILT_IN_NAME, Direct, Rule
from sakk.core.screening import (
    Direction,
    Facts,
    Hit,
    Reason,
    ScreeningRequest,
    Side,
    Verdict,
    hit_order,
)
from sakk.core.verdict import decide

ADDRESS = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"
REQUEST = ScreeningRequest(
    subject="pin_1",
    account_id="acct_1",
    livemode=False,
    network="eip155:84532",
    asset="eip155:84532/slip44:60",
    direction=Direction.incoming,
    sender=ADDRESS,
    receiver="0x" + "1" * 40,
    token_units=10**30,
)


def hit(category: Category, *, side: Side = Side.sender, confidence: int = 50) -> Hit:
    return Hit(
        side=side,
        address=ADDRESS,
        category=category,
        list_name="a list",
        list_version=3,
        confidence=confidence,
        entity="someone",
        path=(ADDRESS,),
    )


def judge(
    *hits: Hit, rules: tuple[Rule, ...] = BUILT_IN[BUILT_IN_NAME], **changes: object
) -> tuple[Verdict, tuple[Reason, ...]]:
    facts = Facts(hits=tuple(sorted(hits, key=hit_order)), **changes)  # type: ignore[arg-type]
    return decide(REQUEST, facts, rules, version="7")


@pytest.mark.parametrize(
    ("category", "verdict"),
    [
        (Category.sanctions, Verdict.block),
        (Category.terrorism, Verdict.block),
        (Category.child_abuse, Verdict.block),
        (Category.ransomware, Verdict.review),
        (Category.theft, Verdict.review),
        (Category.scam, Verdict.review),
        (Category.mixer, Verdict.review),
        (Category.darknet_market, Verdict.review),
        (Category.frozen_by_issuer, Verdict.review),
        (Category.extortion, Verdict.review),
        (Category.gambling, Verdict.clear),
        (Category.exchange, Verdict.clear),
        (Category.defi, Verdict.clear),
        (Category.miner, Verdict.clear),
        (Category.service, Verdict.clear),
        (Category.wallet, Verdict.clear),
        (Category.other, Verdict.clear),
        (Category.known_good, Verdict.clear),
    ],
)
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("rules", BUILT_IN)
def test_every_category_has_a_verdict_on_both_sides(
    category: Category, verdict: Verdict, side: Side, rules: str
) -> None:
    assert judge(hit(category, side=side), rules=BUILT_IN[rules])[0] is verdict


def test_without_facts_a_transfer_is_clear() -> None:
    assert judge() == (Verdict.clear, ())


def test_reasons_name_the_rule_its_version_the_list_and_its_version() -> None:
    (reason,) = judge(hit(Category.sanctions))[1]
    assert (reason.rule, reason.rule_version) == ("direct_sanctions", "7")
    assert (reason.list, reason.version) == ("a list", 3)
    assert (reason.kind, reason.path) == ("direct", (ADDRESS,))


def test_the_order_of_hits_does_not_change_the_decision() -> None:
    hits = [
        hit(Category.mixer),
        hit(Category.sanctions),
        hit(Category.scam, side=Side.receiver),
        replace(hit(Category.scam, side=Side.receiver), entity=None),
    ]
    outcomes = {judge(*order) for order in permutations(hits)}
    assert len(outcomes) == 1
    verdict, reasons = outcomes.pop()
    assert verdict is Verdict.block
    assert reasons[0].verdict is Verdict.block
    assert len(reasons) == 4


def test_an_override_takes_reviews_of_that_side_away_and_says_so() -> None:
    verdict, reasons = judge(hit(Category.known_good), hit(Category.mixer))
    assert verdict is Verdict.clear
    assert [reason.rule for reason in reasons] == ["known_good"]
    other = hit(Category.mixer, side=Side.receiver)
    assert judge(hit(Category.known_good), hit(Category.mixer), other)[0] is Verdict.review


def test_an_override_never_takes_a_block_away() -> None:
    assert judge(hit(Category.known_good), hit(Category.sanctions))[0] is Verdict.block


def test_an_unreadable_address_is_reviewed() -> None:
    verdict, (reason,) = judge(unreadable=(Side.receiver,))
    assert verdict is Verdict.review
    assert (reason.rule, reason.address) == ("unreadable_address", REQUEST.receiver)


def test_a_rule_may_ask_for_a_side_and_for_confidence() -> None:
    rule = Direct(
        name="sure senders",
        verdict=Verdict.review,
        categories=(Category.exchange,),
        sides=(Side.sender,),
        confidence_min=50,
    )
    assert judge(hit(Category.exchange), rules=(rule,))[0] is Verdict.review
    assert judge(hit(Category.exchange, confidence=49), rules=(rule,))[0] is Verdict.clear
    other = hit(Category.exchange, side=Side.receiver)
    assert judge(other, rules=(rule,))[0] is Verdict.clear


@pytest.mark.parametrize(
    ("wanted", "verdict"),
    [
        ({"direction": Direction.incoming}, Verdict.review),
        ({"direction": Direction.outgoing}, Verdict.clear),
        ({"networks": ("eip155:1", "eip155:84532")}, Verdict.review),
        ({"networks": ("eip155:1",)}, Verdict.clear),
    ],
)
def test_a_rule_may_be_for_some_transfers_alone(
    wanted: dict[str, object], verdict: Verdict
) -> None:
    rule = Direct(
        name="some",
        verdict=Verdict.review,
        categories=(Category.exchange,),
        **wanted,  # type: ignore[arg-type]
    )
    assert judge(hit(Category.exchange), rules=(rule,))[0] is verdict
