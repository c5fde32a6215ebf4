import random
from dataclasses import replace

import pytest

from sakk.core.errors import ParameterInvalid, ResourceMissing, Unavailable
from sakk.core.exposure import BatchKind, Exposure, Hop, Method, Part, Way
from sakk.screening import exposure_history
from sakk.screening.exposure import Exposures
from sakk.screening.exposure_graph import Limits
from sakk.store.database import Database, open_database

from .exposing import ASSET, NETWORK, Token, name, text, transfer, tx

THIEF, SHOP, U, V, W = 1, 2, 11, 12, 13


@pytest.fixture
def token(database: Database) -> Token:
    return Token(database)


def source(exposures: Exposures, number: int) -> Exposure:
    return exposures.exposure(NETWORK, ASSET, text(number), Way.source)


def shares(found: Exposure) -> dict[str, int]:
    return {**{part.category: part.units for part in found.parts}, "unknown": found.unknown_units}


def test_a_walk_says_parts_paths_height_and_lists(token: Token) -> None:
    token.append(transfer(1, THIEF, U, 30), transfer(1, SHOP, U, 70, 1))
    height = token.append(transfer(2, U, V, 50), transfer(3, W, V, 50))
    token.label(THIEF, "theft", entity="Ronin")
    version = token.label(SHOP, "exchange")
    found = source(Exposures(token.database), V)
    assert (found.height, found.lists_version) == (height, version) == (2, 2)
    assert found.total_units == 100
    assert found.parts == (Part("theft", 15), Part("exchange", 35))
    assert found.unknown_units == 50
    assert [path.category for path in found.paths] == ["exchange", "theft"]
    stolen = found.paths[1]
    assert (stolen.entity, stolen.units) == ("Ronin", 15)
    assert stolen.hops == (Hop(text(U), tx(2)), Hop(text(THIEF), tx(1)))


def test_with_the_money_a_walk_goes_to_where_it_went(token: Token) -> None:
    token.append(transfer(1, U, V, 50), transfer(2, V, THIEF, 20), transfer(3, V, W, 30))
    token.label(THIEF, "theft")
    found = Exposures(token.database).exposure(NETWORK, ASSET, text(U), Way.destination)
    assert (found.parts, found.unknown_units) == ((Part("theft", 20),), 30)
    late = Exposures(token.database).exposure(
        NETWORK, ASSET, text(V), Way.destination, since=3 * 12
    )
    assert (late.total_units, late.unknown_units) == (30, 30)


def test_the_three_methods_differ_as_the_papers_say(token: Token) -> None:
    token.append(transfer(1, THIEF, U, 3), transfer(2, SHOP, U, 7), transfer(3, U, V, 4))
    token.label(THIEF, "theft")
    token.label(SHOP, "miner")
    exposures = Exposures(token.database)
    held = exposures.held(NETWORK, ASSET, text(V))
    assert (shares(held), held.method) == ({"theft": 1, "miner": 3, "unknown": 0}, Method.haircut)
    first = exposures.fifo(NETWORK, ASSET, text(V))
    assert (shares(first), first.method) == ({"theft": 3, "miner": 1, "unknown": 0}, Method.fifo)
    assert shares(exposures.fifo(NETWORK, ASSET, text(U))) == {"miner": 6, "unknown": 0}
    assert exposures.fifo(NETWORK, ASSET, text(THIEF)).total_units == 0
    assert exposures.held(NETWORK, ASSET, text(99)).total_units == 0


def test_first_in_first_out_is_cut_where_there_is_too_much(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    token.append(*[transfer(1, THIEF, U, 1, number) for number in range(9)])
    monkeypatch.setattr("sakk.screening.exposure.FIFO_LIMITS", Limits(edges_max=5))
    assert Exposures(token.database).fifo(NETWORK, ASSET, text(U)).is_cut


def test_labels_count_for_all_of_the_past_and_cease_when_they_are_closed(token: Token) -> None:
    token.append(transfer(1, THIEF, U, 10), transfer(2, U, V, 10))
    exposures = Exposures(token.database)
    assert shares(source(exposures, V)) == {"unknown": 10}
    token.label(THIEF, "theft")
    assert shares(source(exposures, V)) == {"theft": 10, "unknown": 0}
    assert shares(exposures.held(NETWORK, ASSET, text(V))) == {"theft": 10, "unknown": 0}
    token.label(THIEF, "sanctions")
    assert shares(source(exposures, V)) == {"sanctions": 10, "unknown": 0}
    token.unlabel(THIEF, "sanctions")
    assert shares(source(exposures, V)) == {"theft": 10, "unknown": 0}
    token.unlabel(THIEF, "theft")
    assert shares(exposures.held(NETWORK, ASSET, text(V))) == {"unknown": 10}


def test_a_label_that_says_nothing_in_particular_is_followed_through(token: Token) -> None:
    token.append(transfer(1, THIEF, U, 10), transfer(2, U, V, 10))
    token.label(U, "other")
    token.label(THIEF, "theft")
    assert shares(source(Exposures(token.database), V)) == {"theft": 10, "unknown": 0}


def test_an_answer_is_given_again_for_its_height_and_lists_version(token: Token) -> None:
    exposures = Exposures(token.database)
    token.append(transfer(1, THIEF, U, 10), transfer(2, U, V, 10))
    token.label(THIEF, "theft")
    answers = [source(exposures, V), exposures.held(NETWORK, ASSET, text(V))]
    token.append(transfer(3, SHOP, V, 90))
    token.label(THIEF, "sanctions")
    answers += [source(exposures, V), exposures.held(NETWORK, ASSET, text(V))]
    answers.append(exposures.fifo(NETWORK, ASSET, text(V)))
    token.undo(0)
    token.unlabel(THIEF, "theft")
    assert source(exposures, V).total_units == 0
    for answer in answers:
        again = exposures.exposure_at(
            NETWORK,
            ASSET,
            text(V),
            height=answer.height,
            lists_version=answer.lists_version,
            method=answer.method,
        )
        assert again == answer
    for height, version in ((9, 0), (0, 99)):
        with pytest.raises(ParameterInvalid, match="is 0 to"):
            exposures.exposure_at(NETWORK, ASSET, text(V), height=height, lists_version=version)


def test_a_reorganisation_leaves_what_would_be_had_it_never_been_seen(token: Token) -> None:
    exposures, label = Exposures(token.database), token.label(THIEF, "theft")
    token.append(transfer(1, THIEF, U, 10), transfer(2, SHOP, U, 10))
    before = source(exposures, U)
    token.append(transfer(3, THIEF, U, 50))
    token.append(transfer(4, U, V, 70))
    assert source(exposures, V).total_units == 70
    # Half of the first batch goes as well.
    token.undo(1)
    after = source(exposures, U)
    assert shares(after) == {"theft": 10, "unknown": 0}
    assert source(exposures, V).total_units == 0
    token.append(transfer(2, SHOP, U, 10))
    again = source(exposures, U)
    assert replace(again, height=before.height) == before
    assert source(Exposures(token.database), U) == again
    assert label == again.lists_version


def test_imports_are_merged_by_block_whenever_they_come(token: Token) -> None:
    exposures = Exposures(token.database)
    token.append(transfer(10, U, V, 10))
    assert shares(source(exposures, V)) == {"unknown": 10}
    token.append(transfer(1, THIEF, U, 10), transfer(12, V, W, 10), kind=BatchKind.imported)
    token.label(THIEF, "theft")
    found = source(exposures, W)
    assert shares(found) == {"theft": 10, "unknown": 0}
    assert found.paths[0].hops == (
        Hop(text(V), tx(12)),
        Hop(text(U), tx(10)),
        Hop(text(THIEF), tx(1)),
    )
    assert source(Exposures(token.database), W) == found
    # What was followed goes; what was imported stays, and is the operator's word.
    token.undo(9)
    assert shares(source(exposures, W)) == {"unknown": 10}


def test_any_order_of_batches_gives_one_graph(token: Token) -> None:
    """Random batches, imports and reorganisations: caught up step by step, and loaded at once."""
    generator = random.Random(7)
    exposures = Exposures(token.database)
    for number in (1, 2, 3):
        token.label(number, ["theft", "exchange", "mixer"][number - 1])
    block = 100
    for step in range(18):
        kind = generator.random()
        if kind < 0.2:
            block = max(0, block - generator.randrange(6))
            token.undo(block)
        else:
            first = block + 1 if kind < 0.8 else generator.randrange(1, block + 2)
            rows = [
                transfer(
                    first + place // 2,
                    generator.randrange(1, 9),
                    generator.randrange(1, 9),
                    generator.randrange(1, 100),
                    place,
                )
                for place in range(generator.randrange(1, 7))
            ]
            token.append(*rows, kind=BatchKind.followed if kind < 0.8 else BatchKind.imported)
            if kind < 0.8:
                block = rows[-1].block_number
        source(exposures, 1)
        if step % 3:
            continue
        fresh = Exposures(token.database)
        for number in (4, 5, 6):
            assert source(exposures, number) == source(fresh, number)
            mine = exposures.held(NETWORK, ASSET, text(number))
            assert mine == fresh.held(NETWORK, ASSET, text(number))


def test_many_changed_labels_load_everything_anew(
    token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposures = Exposures(token.database)
    token.append(transfer(1, THIEF, U, 10))
    assert shares(source(exposures, U)) == {"unknown": 10}
    monkeypatch.setattr(exposure_history, "CHANGES_MAX", 0)
    token.label(THIEF, "theft")
    assert shares(source(exposures, U)) == {"theft": 10, "unknown": 0}


def test_units_of_eighteen_decimals_are_whole_millionths(database: Database) -> None:
    token = Token(database, decimals=18)
    token.append(transfer(1, THIEF, U, 5 * 10**18 + 1), transfer(1, SHOP, U, 10**12 - 1, 1))
    token.label(THIEF, "theft")
    found = source(Exposures(database), U)
    assert (found.total_units, shares(found)) == (
        5 * 10**18,
        {"theft": 5 * 10**18, "unknown": 0},
    )
    assert shares(Exposures(database).fifo(NETWORK, ASSET, text(U))) == {
        "theft": 5 * 10**18 + 1,
        "unknown": 0,
    }


def test_the_callers_transaction_says_which_lists_count(token: Token) -> None:
    token.append(transfer(1, THIEF, U, 10))
    exposures = Exposures(token.database)
    with token.database.begin() as connection:
        found = exposures.exposure(NETWORK, ASSET, text(U), connection=connection)
        assert found == exposures.exposure(NETWORK, ASSET, text(U))
        assert exposures.held(NETWORK, ASSET, text(U), connection=connection).height == 1
        assert exposures.fifo(NETWORK, ASSET, text(U), connection=connection).height == 1


@pytest.mark.parametrize(
    ("network", "asset", "address", "problem"),
    [
        (NETWORK, ASSET, "0x12", "not an address"),
        (NETWORK, ASSET + "0", text(1), "No such token"),
        ("eip155:1", ASSET, text(1), "No such token"),
        ("solana:abc", ASSET, text(1), "EVM networks"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_remedy(
    token: Token, network: str, asset: str, address: str, problem: str
) -> None:
    with pytest.raises((ParameterInvalid, ResourceMissing), match=problem):
        Exposures(token.database).exposure(network, asset, address)


def test_an_asset_belongs_to_its_network(token: Token) -> None:
    exposures = Exposures(token.database)
    exposures.exposure(NETWORK, ASSET, text(1))
    with pytest.raises(ParameterInvalid, match="is not on"):
        exposures.exposure("eip155:1", ASSET, text(1))


def test_without_a_database_nothing_is_said() -> None:
    database = open_database("postgresql://sakk@127.0.0.1:1/none")
    with pytest.raises(Unavailable, match="where money came from"):
        Exposures(database).exposure(NETWORK, ASSET, "0x" + name(1).hex())
    database.close()
