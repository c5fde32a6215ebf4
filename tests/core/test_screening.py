from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest

from sakk.core.label import Category
from sakk.core.screening import (
    DEFAULT_RULES,
    Direction,
    Hit,
    Rule,
    RuleSet,
    Screening,
    ScreeningRequest,
    Side,
    Verdict,
    decide,
    gravest,
    input_hash,
    reason_from_document,
    reason_to_document,
    request_of,
    to_public,
    unreadable,
)

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
def test_every_category_has_a_verdict_on_both_sides(
    category: Category, verdict: Verdict, side: Side
) -> None:
    assert decide([hit(category, side=side)], DEFAULT_RULES)[0] is verdict


def test_without_hits_a_transfer_is_clear() -> None:
    assert decide([], DEFAULT_RULES) == (Verdict.clear, ())


def test_reasons_name_the_rule_the_list_and_its_version() -> None:
    (reason,) = decide([hit(Category.sanctions)], DEFAULT_RULES)[1]
    assert (reason.rule, reason.list, reason.version) == ("direct_sanctions", "a list", 3)
    assert reason.path == (ADDRESS,)
    assert reason_from_document(reason_to_document(reason)) == reason


def test_the_order_of_hits_does_not_change_the_decision() -> None:
    hits = [
        hit(Category.mixer),
        hit(Category.sanctions),
        hit(Category.scam, side=Side.receiver),
        replace(hit(Category.scam, side=Side.receiver), entity=None),
    ]
    outcomes = {decide(list(order), DEFAULT_RULES) for order in permutations(hits)}
    assert len(outcomes) == 1
    verdict, reasons = outcomes.pop()
    assert verdict is Verdict.block
    assert reasons[0].verdict is Verdict.block
    assert len(reasons) == 4


def test_an_override_takes_reviews_of_that_side_away_and_says_so() -> None:
    hits = [hit(Category.known_good), hit(Category.mixer)]
    verdict, reasons = decide(hits, DEFAULT_RULES)
    assert verdict is Verdict.clear
    assert [reason.rule for reason in reasons] == ["known_good"]
    hits.append(hit(Category.mixer, side=Side.receiver))
    assert decide(hits, DEFAULT_RULES)[0] is Verdict.review


def test_an_override_never_takes_a_block_away() -> None:
    hits = [hit(Category.known_good), hit(Category.sanctions)]
    assert decide(hits, DEFAULT_RULES)[0] is Verdict.block


def test_a_rule_may_ask_for_a_side_and_for_confidence() -> None:
    rules = RuleSet(
        version="test",
        rules=(
            Rule(
                "sure_senders",
                Verdict.review,
                frozenset({Category.exchange}),
                sides=frozenset({Side.sender}),
                confidence_min=50,
            ),
        ),
    )
    assert decide([hit(Category.exchange)], rules)[0] is Verdict.review
    assert decide([hit(Category.exchange, confidence=49)], rules)[0] is Verdict.clear
    assert decide([hit(Category.exchange, side=Side.receiver)], rules)[0] is Verdict.clear


@pytest.mark.parametrize("confidence", [-1, 101])
def test_a_rule_cannot_ask_for_impossible_confidence(confidence: int) -> None:
    with pytest.raises(ValueError, match="confidence_min"):
        Rule("bad", Verdict.review, frozenset(), confidence_min=confidence)


def test_an_unreadable_address_waits_for_a_person() -> None:
    reason = unreadable(Side.sender, "what?")
    assert (reason.verdict, reason.rule) == (Verdict.review, "unreadable_address")


def test_the_gravest_verdict_wins() -> None:
    assert gravest([]) is Verdict.clear
    assert gravest([Verdict.review, Verdict.block, Verdict.clear]) is Verdict.block


def test_every_field_of_a_request_is_in_its_hash() -> None:
    others = [
        replace(REQUEST, subject="po_1"),
        replace(REQUEST, account_id=None),
        replace(REQUEST, livemode=True),
        replace(REQUEST, network="eip155:1"),
        replace(REQUEST, asset="other"),
        replace(REQUEST, direction=Direction.outgoing),
        replace(REQUEST, sender="0x"),
        replace(REQUEST, receiver="0x"),
        replace(REQUEST, token_units=1),
    ]
    hashes = {input_hash(request) for request in [REQUEST, *others]}
    assert len(hashes) == len(others) + 1
    assert input_hash(REQUEST) == input_hash(replace(REQUEST))


def test_a_screening_is_shown_whole_and_can_be_asked_again() -> None:
    verdict, reasons = decide([hit(Category.sanctions)], DEFAULT_RULES)
    screening = Screening(
        id="scr_1",
        account_id=REQUEST.account_id,
        livemode=REQUEST.livemode,
        subject=REQUEST.subject,
        network=REQUEST.network,
        asset=REQUEST.asset,
        direction=REQUEST.direction,
        sender=REQUEST.sender,
        receiver=REQUEST.receiver,
        token_units=REQUEST.token_units,
        verdict=verdict,
        reasons=reasons,
        lists_version=7,
        rules_version=DEFAULT_RULES.version,
        input_hash=input_hash(REQUEST),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert request_of(screening) == REQUEST
    shown = to_public(screening)
    assert shown["object"] == "screening"
    assert shown["verdict"] == "block"
    assert shown["token_amount"] == str(10**30)
    assert shown["reasons"][0]["rule"] == "direct_sanctions"
    assert shown["created"] == 1767225600
