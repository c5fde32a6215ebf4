"""Facts beside the lists: where money came from, over which way, and what a replay makes of it."""

from dataclasses import replace

import pytest
from sqlalchemy import text as sql

from sakk.core.errors import Unavailable
from sakk.core.label import Category
from sakk.core.rule import BridgeHop, Exposed, Limit, PeelChain, Unknown
from sakk.core.screening import Direction, Screening, ScreeningRequest, Verdict
from sakk.screening.engine import Engine
from sakk.store.database import Database
from sakk.store.screening import find_screening, insert_screenings

from .conftest import enact
from .exposing import ASSET, NETWORK, Token, text, transfer

THIEF, BRIDGE, A, B, C, D, US = 1, 2, 11, 12, 13, 14, 99
R = Verdict.review


@pytest.fixture
def token(database: Database) -> Token:
    return Token(database)


def payin(sender: int, units: int = 50) -> ScreeningRequest:
    return ScreeningRequest(
        subject="pin_1",
        account_id="acct_1",
        livemode=False,
        network=NETWORK,
        asset=ASSET,
        direction=Direction.incoming,
        sender=text(sender),
        receiver=text(US),
        token_units=units,
        currency="usdc",
        decimals=6,
        amount=units,
    )


def judge(token: Token, request: ScreeningRequest) -> Screening:
    (found,) = Engine(token.database).screen([request])
    with token.database.begin() as connection:
        insert_screenings(connection, [found])
        stored = find_screening(connection, found.id)
    assert stored == found
    return found


def test_the_rules_of_the_house_see_what_is_behind_the_sender(token: Token) -> None:
    assert judge(token, payin(B)).verdict == "clear"  # no transfer is kept: nothing is known
    token.append(transfer(1, THIEF, A, 6), transfer(2, C, A, 94), transfer(3, A, B, 100))
    token.label(THIEF, "theft", entity="Ronin")
    found = judge(token, payin(B))
    (reason,) = found.reasons
    assert (found.verdict, reason.rule, reason.kind) == ("review", "exposed_to_theft", "exposure")
    assert (reason.share_ppm, reason.units, reason.entity) == (60_000, 6, "Ronin")
    assert reason.path == (text(B), text(A), text(THIEF))
    assert reason.detail == "by walk at height 1"
    # Later transfers and labels change nothing in what was decided.
    token.append(transfer(4, C, B, 9_900))
    token.label(C, "sanctions")
    assert Engine(token.database).replay(found) == (Verdict.review, found.reasons)
    assert [each.rule for each in judge(token, payin(B)).reasons] == ["exposed_to_sanctions"]
    with pytest.raises(ValueError, match="not those that were hashed"):
        Engine(token.database).replay(replace(found, inputs={}))


def test_the_unknown_counts_for_large_amounts_alone(token: Token) -> None:
    enact(
        token.database,
        Unknown(name="unknown", verdict=R, share_min_ppm=500_001, amount=Limit(whole="1")),
    )
    token.append(transfer(1, A, B, 100))
    assert judge(token, payin(B, 999_999)).verdict == "clear"
    (reason,) = judge(token, payin(B, 1_000_000)).reasons
    assert (reason.rule, reason.share_ppm, reason.units) == ("unknown", 1_000_000, 100)
    # Of whom the graph knows nothing nothing is known.
    assert judge(token, payin(D, 1_000_000)).verdict == "review"


def test_a_payout_looks_at_where_its_receiver_sends(token: Token) -> None:
    enact(
        token.database,
        Exposed(name="mixes", verdict=R, categories=(Category.mixer,), share_min_ppm=1),
        BridgeHop(name="bridged", verdict=R, share_min_ppm=500_000, hops_max=1),
    )
    token.append(transfer(1, A, B, 100), transfer(2, B, THIEF, 40), transfer(3, B, BRIDGE, 60))
    token.label(THIEF, "mixer")
    token.label(BRIDGE, "bridge")
    outgoing = replace(
        payin(US), direction=Direction.outgoing, sender=text(US), receiver=text(B), subject="po_1"
    )
    assert [each.rule for each in judge(token, outgoing).reasons] == ["bridged", "mixes"]
    assert judge(token, payin(B)).verdict == "clear"


def test_a_peel_chain_is_followed_to_where_it_ends(token: Token) -> None:
    enact(token.database, PeelChain(name="peels", verdict=R, hops_min=3, peel_max_ppm=100_000))
    # 1,000 to D, which keeps 50; C keeps 50 of 950; B keeps 30 of 900 and pays A.
    token.append(
        transfer(1, THIEF, D, 1_000),
        transfer(2, D, C, 950),
        transfer(3, C, B, 900),
        transfer(4, B, A, 870),
    )
    token.label(THIEF, "exchange")
    (reason,) = judge(token, payin(A)).reasons
    assert (reason.kind, reason.units) == ("peel_chain", 870)
    assert reason.path == (text(A), text(B), text(C), text(D))
    assert judge(token, payin(B)).verdict == "clear"  # two addresses are no chain of three


def test_when_the_graph_can_not_be_read_nothing_passes(token: Token) -> None:
    token.append(transfer(1, A, B, 100))
    engine = Engine(token.database)
    with token.database.begin() as connection:
        connection.execute(sql("ALTER TABLE exposure_batches RENAME TO batches_away"))
    with pytest.raises(Unavailable):
        engine.screen([payin(B)])
    with token.database.begin() as connection:
        connection.execute(sql("ALTER TABLE batches_away RENAME TO exposure_batches"))
    assert engine.screen([payin(B)])[0].verdict == "clear"
