"""The public lists themselves, where they are at hand: counts, pitfalls and known addresses."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list
from sakk.store.database import Database

from .conftest import CLEAN, request

LISTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "kyt"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZERO = "0x" + "0" * 40
RONIN_THIEF = "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"

pytestmark = pytest.mark.skipif(
    not LISTS.is_dir(), reason=f"the public lists are not at hand ({LISTS.name} is absent)"
)

OPENED = {
    "ofac/sanctioned_addresses_ETH.txt": 152,
    "ofac/sanctioned_addresses_XBT.txt": 435,
    "ofac/sanctioned_addresses_USDT.txt": 26,
    "ofac/sanctioned_addresses_TRX.txt": 6,
    "tagpacks/usdt_blacklist.yaml": 757,
    "tagpacks/hacks.yaml": 608,
    "tagpacks/ransomware.yaml": 7178,
    "tagpacks/defi-fraud-masterthesis.yaml": 6699,
    "tagpacks/etherscan-label-word-cloud.yaml": 8449,
    "tagpacks/ronin_bridge.yaml": 6,
    "tagpacks/lazarus.yaml": 21,
    "labels/forta_etherscan_malicious_labels.csv": 7259,
    "labels/forta_phishing_scams.csv": 6205,
    "labels/forta_malicious_smart_contracts.csv": 719,
}


@pytest.mark.parametrize("name", OPENED)
def test_a_public_list_is_read_whole(database: Database, name: str) -> None:
    report = import_list(database, LISTS / name, now=NOW)
    assert report.opened == OPENED[name]
    assert report.rows == report.opened + report.duplicates + sum(report.skipped.values())
    again = import_list(database, LISTS / name, now=NOW)
    assert (again.opened, again.closed, again.unchanged) == (0, 0, OPENED[name])


def test_every_ofac_file_and_every_pack_is_read(database: Database) -> None:
    files = [*(LISTS / "ofac").glob("*.txt"), *(LISTS / "tagpacks").glob("*.yaml")]
    readable = [path for path in files if ".actorpack" not in path.name]
    assert len(readable) == 56
    for path in readable:
        assert import_list(database, path, now=NOW).opened > 0


def test_names_and_actors_are_not_taken_for_address_lists(database: Database) -> None:
    for path in [*(LISTS / "names").iterdir(), LISTS / "tagpacks/graphsense.actorpack.yaml"]:
        with pytest.raises(ParameterInvalid):
            import_list(database, path, now=NOW)


def test_the_zero_address_of_the_usdt_blacklist_alerts_no_mint(database: Database) -> None:
    report = import_list(database, LISTS / "tagpacks/usdt_blacklist.yaml", now=NOW)
    assert report.skipped == {"reserved": 16, "token": 1}
    frozen = "0x008FE40574E881E7247b50b991c0cc057d66647F"
    mint, payment = Engine(database).screen([request(ZERO), request(frozen)])
    assert mint.verdict == "clear"
    assert (payment.verdict, payment.reasons[0].rule) == ("review", "frozen_by_issuer")


def test_a_known_thief_is_blocked_by_the_state_and_named_by_the_packs(database: Database) -> None:
    for name in ("ofac/sanctioned_addresses_ETH.txt", "tagpacks/lazarus.yaml"):
        import_list(database, LISTS / name, now=NOW)
    engine = Engine(database)
    (screening,) = engine.screen([request(CLEAN, RONIN_THIEF)])
    assert screening.verdict == "block"
    assert [reason.list for reason in screening.reasons] == ["lazarus", "sanctioned_addresses_ETH"]
    assert screening.reasons[0].entity == "Lazarus group"
