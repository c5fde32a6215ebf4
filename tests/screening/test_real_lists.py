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
    # Two of its addresses, and so of Forta's, have a checksum that is wrong.
    "tagpacks/etherscan-label-word-cloud.yaml": 8447,
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


def test_actors_and_bare_aliases_are_no_lists(database: Database) -> None:
    for name in ("names/ofac_alt_2025-12-24.csv", "tagpacks/graphsense.actorpack.yaml"):
        with pytest.raises(ParameterInvalid):
            import_list(database, LISTS / name, now=NOW)


def test_the_lists_of_names_are_read_whole(database: Database, tmp_path: Path) -> None:
    un = import_list(database, LISTS / "names/UN_consolidated_2026-02-27.xml", now=NOW)
    assert (un.entities.opened, un.rows, un.opened) == (1003, 1003, 0)
    consolidated = import_list(database, LISTS / "names/ofac_cons_prim_2025-12-19.csv", now=NOW)
    assert (consolidated.entities.opened, consolidated.opened) == (442, 0)
    # The aliases at hand are of another day than the entries: those of later entries are left out.
    sdn = LISTS / "names/ofac_sdn_2023-01-21.csv"
    known = {line.partition(",")[0] for line in sdn.read_text().splitlines()}
    aliases = tmp_path / "alt.csv"
    lines = (LISTS / "names/ofac_alt_2025-12-24.csv").read_text().splitlines(keepends=True)
    aliases.write_text("".join(line for line in lines if line.partition(",")[0] in known))
    report = import_list(database, sdn, companions=[aliases], name="OFAC SDN", now=NOW)
    assert (report.entities.opened, report.rows) == (11_443, 11_443 + 208)
    # Without sdn_comments.csv the longest remarks end in the middle of an address.
    assert (report.opened, report.duplicates, report.skipped) == (200, 2, {"malformed": 6})
    again = import_list(database, sdn, companions=[aliases], name="OFAC SDN", now=NOW)
    assert (again.entities.opened, again.entities.closed, again.opened) == (0, 0, 0)
    assert again.lists_version == report.lists_version


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
