"""Known thefts traced through a synthetic crowd: real tags of Ronin, OFAC's and exchanges'.

The tags are real; who paid whom is made by a seeded generator, since the folder holds no chain.
Every flow that was planted must be found by a path that ends at its real address, and of the crowd
that was never paid by a thief nobody may be said to have been.
"""

import random
from pathlib import Path

import pytest

from sakk.core.exposure import Exposure
from sakk.screening.exposure import Exposures
from sakk.screening.importers import import_list
from sakk.store.database import Database

from .exposing import ASSET, NETWORK, NOW, Token, name, transfer

LISTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt"
PACKS = {
    "ronin_bridge": "tagpacks/ronin_bridge.yaml",
    "lazarus": "tagpacks/lazarus.yaml",
    "ofac_eth": "ofac/sanctioned_addresses_ETH.txt",
    "exchanges": "tagpacks/etherscan-wordcloud-exchange.yaml",
    "tornado": "tagpacks/tornado_cash.yaml",
}
CRIMES = {"sanctions", "theft", "mixer"}
CROWD, PAYMENTS, SEED = 500, 5_000, 8402

pytestmark = pytest.mark.skipif(
    not LISTS.is_dir(), reason=f"the public lists are not at hand ({LISTS.name} is absent)"
)


def labelled(database: Database) -> dict[str, list[bytes]]:
    """The EVM addresses of each list, as imported."""
    found: dict[str, list[bytes]] = {}
    with database.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT l.name, b.address, b.category FROM labels b JOIN label_lists l"
            " ON l.id = b.list_id WHERE b.family = 'eip155' ORDER BY l.name, b.address"
        ).all()
    for list_name, address, category in rows:
        if category not in ("other", "known_good"):
            found.setdefault(list_name, []).append(bytes.fromhex(address[2:]))
    return found


def ask(exposures: Exposures, address: bytes) -> Exposure:
    return exposures.exposure(NETWORK, ASSET, "0x" + address.hex())


def test_planted_flows_are_found_and_nobody_else_is_accused(database: Database) -> None:
    token = Token(database)
    for list_name, file in PACKS.items():
        import_list(database, LISTS / file, name=list_name, now=NOW)
    known = labelled(database)
    # The one Ethereum address of Lazarus' pack is Ronin's first: a sanction is worse than a theft.
    assert known["lazarus"][0] in known["ronin_bridge"]
    thieves = sorted({*known["ronin_bridge"], *known["lazarus"], *known["ofac_eth"][:20]})
    exchanges = known["exchanges"]
    assert len(known["ronin_bridge"]) == 6
    generator = random.Random(SEED)
    crowd = [name(1_000 + number) for number in range(CROWD)]
    rows, block = [], 0
    # The crowd: paid by exchanges and by one another, never by a thief.
    for _ in range(PAYMENTS):
        block += 1
        sender = generator.choice(exchanges if generator.random() < 0.2 else crowd)
        receiver = generator.choice(crowd)
        rows.append(transfer(block, sender, receiver, generator.randrange(1, 10**9)))
    # Each thief's coins go over one to four addresses of their own, mixed with coins of the crowd.
    planted: dict[bytes, tuple[bytes, int]] = {}
    for number, thief in enumerate(thieves):
        hops = 1 + number % 4
        chain = [name(100_000 + 10 * number + hop) for hop in range(hops)]
        carried = 10**9
        for sender, receiver in zip([thief, *chain], chain, strict=False):
            block += 2
            rows.append(transfer(block - 1, sender, receiver, carried))
            rows.append(transfer(block, generator.choice(crowd), receiver, 10**8))
            carried += 10**8
        planted[chain[-1]] = (thief, hops)
    token.append(*rows)
    exposures = Exposures(database)
    for end, (thief, hops) in planted.items():
        found = ask(exposures, end)
        share = found.share_ppm(CRIMES)
        assert share >= 900_000 - 100_000 * hops, (hops, share)
        path = next(path for path in found.paths if path.category in CRIMES)
        assert path.hops[-1].address == "0x" + thief.hex()
        assert len(path.hops) == hops
        assert path.list in {"ronin_bridge", "lazarus", "ofac_eth"}
    accused = [address for address in crowd[::4] if ask(exposures, address).units_of(CRIMES)]
    assert accused == []
    held = [exposures.held(NETWORK, ASSET, "0x" + address.hex()) for address in crowd[::4]]
    assert [each.address for each in held if each.units_of(CRIMES)] == []


def test_the_crowd_that_a_thief_pays_is_found_as_far_as_five_transfers(
    database: Database,
) -> None:
    """One theft spread through the crowd: who stands within five transfers, by a search of its
    own, and who is said to be exposed, are the same; what is over the default of rules is few."""
    token = Token(database)
    for list_name in ("ronin_bridge", "exchanges"):
        import_list(database, LISTS / PACKS[list_name], name=list_name, now=NOW)
    known = labelled(database)
    generator = random.Random(SEED)
    crowd = [name(1_000 + number) for number in range(400)]
    rows = [
        transfer(
            block,
            generator.choice(known["exchanges"] if generator.random() < 0.3 else crowd),
            generator.choice(crowd),
            10**6,
        )
        for block in range(1, 1_200)
    ]
    rows[100] = transfer(101, known["ronin_bridge"][0], crowd[0], 10**6)
    token.append(*rows)
    # By hand: who received, within five transfers and in the order of time, what the thief sent.
    reached: dict[bytes, int] = {}
    for row in rows:
        if row.sender == known["ronin_bridge"][0]:
            hops = 1
        elif row.sender in reached and row.sender != row.receiver:
            hops = reached[row.sender] + 1
        else:
            continue
        if hops <= 5:
            reached[row.receiver] = min(hops, reached.get(row.receiver, 9))
    exposures = Exposures(database)
    exposed = {
        address: found.share_ppm(["theft"])
        for address in crowd
        if (found := ask(exposures, address)).units_of(["theft"])
    }
    assert exposed.keys() <= reached.keys()
    assert set(exposed) >= {address for address, hops in reached.items() if hops <= 2}
    # Most of those who were reached have so little of it that no sensible rule would stop them.
    over = [address for address, share in exposed.items() if share >= 50_000]
    assert crowd[0] in over
    assert len(over) < len(exposed)
