"""What rules make of facts: a table for each kind of rule, worked by hand."""

from dataclasses import replace
from itertools import permutations
from typing import Any, get_args

import pytest

from sakk.core.behaviour import Counted, Peel
from sakk.core.exposure import Exposure, Hop, Part, Path, Way
from sakk.core.label import Category
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    AmountRule,
    BridgeHop,
    CountryRule,
    Direct,
    Dust,
    Exposed,
    FirstPayout,
    Issuer,
    Limit,
    Mixer,
    Named,
    PassThrough,
    PeelChain,
    Poisoning,
    Rule,
    Structuring,
    Unknown,
    Velocity,
)
from sakk.core.screening import (
    CountryHit,
    Direction,
    Facts,
    Hit,
    IssuerAnswer,
    Reason,
    ScreeningRequest,
    Side,
    Verdict,
    hit_order,
)
from sakk.core.verdict import Needs, decide, needs

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


PAYOUT = replace(
    REQUEST,
    subject="po_1",
    direction=Direction.outgoing,
    sender="0x" + "2" * 40,
    receiver=ADDRESS,
    currency="usdc",
    decimals=6,
    amount=950_000_000,
)
PAYIN = replace(REQUEST, currency="usdc", decimals=6, amount=950_000_000)
ORPHAN = replace(PAYIN, account_id=None)
EXPOSURE = Exposure(
    network=REQUEST.network,
    asset=REQUEST.asset,
    address=ADDRESS,
    direction=Way.source,
    total_units=1_000,
    parts=(Part("theft", 60), Part("mixer", 100), Part("bridge", 40)),
    unknown_units=800,
    height=5,
    paths=(
        Path("mixer", "m", "a list", (Hop("0xb", "0x1"), Hop("0xc", "0x2")), 100),
        Path("bridge", "b", "a list", (Hop("0xd", "0x3"),), 40),
    ),
)
CHAIN = (Peel("0xb", 950, 920), Peel("0xc", 980, 950), Peel("0xd", 5_000, 980))
IN = "incoming/account/600"
OUT = "outgoing/account/600"
BLACK = CountryHit("account", "KP", "black_countermeasures", "fatf", 4)
R = Verdict.review
WHOLE_900 = Limit(whole="900")
TENTH_BELOW: dict[str, Any] = {
    "below": Limit(whole="1000"),
    "width_ppm": 100_000,
    "seconds": 600,
    "per": "account",
}


def a(kind: Any, **fields: Any) -> Any:
    """A rule of a kind; all have a name and a verdict."""
    return kind(name="a", verdict=R, **fields)


# Rule, transfer, facts, and what the reason says: share, units, and some of its words.
CASES: list[tuple[Rule, ScreeningRequest, Facts, tuple[int | None, int | None, str] | None]] = [
    (
        a(Exposed, categories=(Category.theft,), share_min_ppm=50_000),
        PAYIN,
        Facts(exposure=EXPOSURE),
        (60_000, 60, "by walk at height 5"),
    ),
    (
        a(Exposed, categories=(Category.theft,), share_min_ppm=60_001),
        PAYIN,
        Facts(exposure=EXPOSURE),
        None,
    ),
    # Where no graph is fed nothing is said, of the unknown either.
    (a(Unknown, share_min_ppm=1), PAYIN, Facts(), None),
    (
        a(Unknown, share_min_ppm=500_001, amount=WHOLE_900),
        PAYIN,
        Facts(exposure=EXPOSURE),
        (800_000, 800, "800 of 1000 units"),
    ),
    # A labelled sender's money is known as its own.
    (
        a(Unknown, share_min_ppm=500_001, amount=WHOLE_900),
        PAYIN,
        Facts(exposure=EXPOSURE, hits=(hit(Category.exchange),)),
        None,
    ),
    (
        a(Unknown, share_min_ppm=500_001, amount=Limit(whole="951")),
        PAYIN,
        Facts(exposure=EXPOSURE),
        None,
    ),
    (
        a(Mixer, share_min_ppm=100_000, hops_max=2),
        PAYIN,
        Facts(exposure=EXPOSURE),
        (100_000, 100, "by walk"),
    ),
    (
        a(Mixer, share_min_ppm=100_000, hops_max=1),
        PAYIN,
        Facts(exposure=EXPOSURE),
        None,
    ),
    (
        a(BridgeHop, share_min_ppm=40_000, hops_max=1),
        PAYIN,
        Facts(exposure=EXPOSURE),
        (40_000, 40, "by walk"),
    ),
    (
        a(PeelChain, hops_min=2, peel_max_ppm=50_000),
        PAYIN,
        Facts(peels=CHAIN),
        (None, 920, "over 2 addresses in a row"),
    ),
    (
        a(PeelChain, hops_min=3, peel_max_ppm=50_000),
        PAYIN,
        Facts(peels=CHAIN),
        None,
    ),
    (
        a(AmountRule, amount=Limit(units={"usdc": "950000000"})),
        PAYOUT,
        Facts(),
        (None, 950_000_000, "the amount alone"),
    ),
    (a(AmountRule, amount=Limit(whole="951")), PAYOUT, Facts(), None),
    # A token on no list has no amount in any currency: it is held for that.
    (a(AmountRule, amount=Limit(whole="1")), REQUEST, Facts(), None),
    (
        a(Velocity, seconds=600, per="account", count_min=3),
        PAYIN,
        Facts(counted={IN: Counted(3, 7)}),
        (None, 7, "3 transfers, 7 units, incoming/account/600"),
    ),
    (
        a(Velocity, seconds=600, per="account", units_min=Limit(units={"usdc": "8"})),
        PAYIN,
        Facts(counted={IN: Counted(3, 7)}),
        None,
    ),
    (
        a(Velocity, seconds=600, per="account", units_min=Limit(units={"usdc": "7"})),
        PAYOUT,
        Facts(counted={OUT: Counted(1, 7)}),
        (None, 7, "1 transfers"),
    ),
    (
        a(Velocity, seconds=600, per="account", count_min=1),
        ORPHAN,
        Facts(),
        None,
    ),
    (
        a(Velocity, seconds=9, per="counterparty", count_min=1),
        ORPHAN,
        Facts(counted={"incoming/counterparty/9": Counted(1, 7)}),
        (None, 7, "counterparty"),
    ),
    # 950 is just below 1,000, within a tenth; three such are too many.
    (
        a(Structuring, count_min=3, **TENTH_BELOW),
        PAYOUT,
        Facts(counted={f"{OUT}/900000000-1000000000": Counted(3, 2_850_000_000)}),
        (None, 2_850_000_000, "3 transfers"),
    ),
    (
        a(Structuring, count_min=3, **TENTH_BELOW),
        PAYOUT,
        Facts(counted={f"{OUT}/900000000-1000000000": Counted(2, 1_900_000_000)}),
        None,
    ),
    (
        a(
            Structuring,
            below=Limit(units={"eur": "9"}),
            width_ppm=100_000,
            count_min=1,
            seconds=600,
            per="account",
        ),
        PAYOUT,
        Facts(),
        None,
    ),
    (
        a(PassThrough, seconds=600, share_min_ppm=900_000),
        PAYOUT,
        Facts(counted={IN: Counted(1, 1_000), OUT: Counted(2, 950)}),
        (950_000, 950, "1000 came in and 950 go out within 600 s"),
    ),
    (
        a(PassThrough, seconds=600, share_min_ppm=950_001),
        PAYOUT,
        Facts(counted={IN: Counted(1, 1_000), OUT: Counted(2, 950)}),
        None,
    ),
    (a(PassThrough, seconds=600, share_min_ppm=1), PAYIN, Facts(), None),
    (
        a(Dust, below=Limit(whole="1"), seconds=60, count_min=2),
        replace(PAYIN, amount=999_999),
        Facts(counted={"incoming/counterparty/60/0-1000000": Counted(2, 5)}),
        (None, 5, "2 transfers"),
    ),
    (
        a(Dust, below=Limit(whole="1"), seconds=60, count_min=2),
        replace(PAYIN, amount=999_999),
        Facts(counted={"incoming/counterparty/60/0-1000000": Counted(1, 5)}),
        None,
    ),
    (a(Dust, below=Limit(whole="1"), seconds=60), PAYIN, Facts(), None),
    (
        a(Dust, below=Limit(whole="1"), seconds=60),
        replace(PAYOUT, amount=1),
        Facts(),
        None,
    ),
    (a(Poisoning), PAYIN, Facts(imitates="0xb"), (None, None, "looks like 0xb")),
    (a(Poisoning), PAYIN, Facts(), None),
    (a(Poisoning), ORPHAN, Facts(imitates="0xb"), None),
    (
        a(FirstPayout),
        PAYOUT,
        Facts(paid_before=False),
        (None, None, "never paid"),
    ),
    (a(FirstPayout), PAYOUT, Facts(paid_before=True), None),
    (a(FirstPayout), PAYIN, Facts(paid_before=False), None),
    (
        a(CountryRule, lists=("black_countermeasures",)),
        PAYOUT,
        Facts(countries=(BLACK,)),
        (None, None, "the account is of KP, which is black_countermeasures"),
    ),
    (a(CountryRule, lists=("grey",)), PAYOUT, Facts(countries=(BLACK,)), None),
    (
        a(CountryRule, lists=("black_countermeasures",), parties=("beneficiary",)),
        PAYOUT,
        Facts(countries=(BLACK,)),
        None,
    ),
    (
        a(Issuer),
        PAYOUT,
        Facts(issuer=IssuerAnswer(9, True)),
        (None, None, "is on the issuer's deny-list, at block 9"),
    ),
    (
        a(Issuer),
        PAYOUT,
        Facts(issuer=IssuerAnswer(9, None)),
        (None, None, "can not be looked up in"),
    ),
    (a(Issuer), PAYOUT, Facts(issuer=IssuerAnswer(9, False)), None),
    (a(Issuer), PAYOUT, Facts(), None),
    (a(Named), PAYOUT, Facts(), None),
]


@pytest.mark.parametrize(("rule", "request_", "facts", "expected"), CASES)
def test_every_kind_of_rule(
    rule: Rule,
    request_: ScreeningRequest,
    facts: Facts,
    expected: tuple[int | None, int | None, str] | None,
) -> None:
    verdict, reasons = decide(request_, facts, (rule,), version="7")
    if expected is None:
        assert (verdict, reasons) == (Verdict.clear, ())
        return
    (reason,) = reasons
    share, units, words = expected
    assert (verdict, reason.share_ppm, reason.units) == (Verdict.review, share, units)
    assert words in (reason.detail or "")
    assert reason.kind == rule.__struct_config__.tag
    assert (reason.address, reason.rule_version) == (ADDRESS, "7")
    assert reason.path[0] == ADDRESS


def test_there_is_a_case_of_every_kind() -> None:
    assert {type(case[0]) for case in CASES} | {Direct} == set(get_args(Rule))


def test_an_override_is_of_the_party_not_of_what_the_account_does() -> None:
    trusted = replace(hit(Category.known_good), side=Side.receiver)
    rules = (
        FirstPayout(name="first", verdict=R),
        AmountRule(name="large", verdict=R, amount=Limit(whole="1")),
    )
    facts = Facts(hits=(trusted,), paid_before=False)
    verdict, reasons = decide(PAYOUT, facts, rules, version="7")
    assert verdict is Verdict.review
    assert [reason.rule for reason in reasons] == ["large", "known_good"]


def test_only_what_the_rules_ask_for_is_looked_up() -> None:
    rules = tuple(case[0] for case in CASES)
    assert needs(PAYOUT, ()) == Needs()
    assert needs(PAYIN, BUILT_IN["default-1"]) == Needs()
    assert needs(PAYIN, BUILT_IN["default-2"]) == Needs(exposure=True)
    assert needs(PAYOUT, BUILT_IN["default-2"]) == Needs(exposure=True, issuer=True)
    everything = needs(PAYOUT, rules)
    names = {IN, OUT, "outgoing/counterparty/9", f"{OUT}/900000000-1000000000"}
    assert {key.name for key in everything.windows} == names
    assert everything == Needs(
        windows=everything.windows,
        exposure=True,
        peels=True,
        paid_before=True,
        imitates=True,
        countries=True,
        issuer=True,
    )
    dusty = needs(replace(PAYIN, amount=1), rules).windows
    assert "incoming/counterparty/60/0-1000000" in {key.name for key in dusty}
