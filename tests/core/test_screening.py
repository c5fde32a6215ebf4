import json
from dataclasses import replace
from datetime import UTC, datetime

from sakk.core.behaviour import Counted, Peel
from sakk.core.exposure import Exposure, Hop, Method, Part, Path, Way
from sakk.core.label import Category
from sakk.core.screening import (
    CountryHit,
    Direction,
    Facts,
    Hit,
    IssuerAnswer,
    Reason,
    Screening,
    ScreeningRequest,
    Side,
    Verdict,
    counterparty,
    facts_from_document,
    gravest,
    input_hash,
    inputs_of,
    is_nothing_new,
    is_same_finding,
    party,
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


def test_the_facts_are_in_the_hash() -> None:
    facts = inputs_of(REQUEST, Facts(hits=(hit(Category.mixer),)))
    assert len({input_hash(REQUEST), input_hash(REQUEST, {}), input_hash(REQUEST, facts)}) == 3


EXPOSURE = Exposure(
    network=REQUEST.network,
    asset=REQUEST.asset,
    address=ADDRESS,
    direction=Way.source,
    total_units=2**200,
    parts=(Part("theft", 2**199, 5),),
    unknown_units=2**199,
    height=8,
    paths=(Path("theft", None, "a list", (Hop("0xb", "0x1"),), 2**90),),
    lists_version=3,
    method=Method.haircut,
    is_cut=True,
)


def test_facts_are_read_back_as_they_were() -> None:
    facts = Facts(
        hits=(hit(Category.mixer), hit(Category.scam, side=Side.receiver)),
        unreadable=(Side.receiver,),
        counted={"incoming/account/60": Counted(3, 2**100), "x": Counted(10_000, 1, True)},
        paid_before=False,
        imitates="0xb",
        exposure=EXPOSURE,
        peels=(Peel("0xc", 2**100, 2**99),),
        countries=(CountryHit("account", "KP", "black_edd", "fatf", 4),),
        issuer=IssuerAnswer(7, None),
        asked=("exposure", "peels"),
    )
    stored = json.loads(json.dumps(inputs_of(REQUEST, facts)))
    assert facts_from_document(stored) == facts
    assert inputs_of(REQUEST, Facts()) == {}
    assert facts_from_document({}) == Facts()


def test_the_other_side_is_whoever_pays_or_is_paid() -> None:
    assert counterparty(REQUEST) == party(REQUEST, Side.sender) == ADDRESS
    outgoing = replace(REQUEST, direction=Direction.outgoing)
    assert counterparty(outgoing) == party(outgoing, Side.receiver) == REQUEST.receiver


REASON = Reason(
    verdict=Verdict.block,
    rule="direct_sanctions",
    side=Side.sender,
    address=ADDRESS,
    category="sanctions",
    list="a list",
    version=3,
    confidence=100,
    entity="someone",
    path=(ADDRESS,),
    rule_version="7",
    share_ppm=1_000_000,
    units=10**30,
    detail="words",
)


def test_a_reason_is_read_back_as_it_was() -> None:
    assert reason_from_document(reason_to_document(REASON)) == REASON


def test_a_reason_of_an_earlier_release_is_readable() -> None:
    old = reason_to_document(REASON)
    for name in ("kind", "rule_version", "share_ppm", "units", "detail"):
        del old[name]
    read = reason_from_document(old)
    assert (read.kind, read.rule_version, read.share_ppm, read.units) == (
        "direct",
        None,
        None,
        None,
    )
    assert read.path == REASON.path


def screening(*reasons: Reason, verdict: str = "block") -> Screening:
    return Screening(
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
        rules_version="7",
        input_hash=input_hash(REQUEST, {}),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        inputs={},
    )


def test_other_rules_that_say_the_same_are_no_news() -> None:
    again = screening(replace(REASON, rule_version="8"))
    assert is_same_finding(screening(REASON), again)
    assert not is_same_finding(screening(REASON), screening())
    assert not is_same_finding(screening(REASON), screening(REASON, verdict="review"))


def test_what_a_person_has_looked_at_is_not_new() -> None:
    mixer = replace(REASON, rule="direct_mixer", verdict=Verdict.review)
    looked_at = screening(mixer, verdict="review")
    later = replace(mixer, version=9, detail="at another height")
    assert is_nothing_new(looked_at, screening(later, verdict="review"))
    assert is_nothing_new(looked_at, screening(verdict="clear"))
    assert not is_nothing_new(looked_at, screening(mixer, REASON, verdict="review"))
    assert not is_nothing_new(looked_at, screening(mixer, verdict="block"))


def test_a_screening_is_shown_whole_and_can_be_asked_again() -> None:
    found = screening(REASON)
    assert request_of(found) == REQUEST
    told = replace(REQUEST, currency="usdc", decimals=6, amount=2**100, beneficiary="ben_1")
    inputs = inputs_of(told, Facts())
    assert request_of(replace(found, inputs=inputs)) == told
    assert request_of(replace(found, inputs=None)) == REQUEST
    shown = to_public(found)
    assert shown["object"] == "screening"
    assert shown["verdict"] == "block"
    assert shown["token_amount"] == str(10**30)
    assert (shown["reasons"][0]["rule"], shown["reasons"][0]["units"]) == (
        "direct_sanctions",
        str(10**30),
    )
    assert shown["inputs"] == {}
    assert shown["created"] == 1767225600
