"""Channels that were proved empty are kept, however many there are."""

from datetime import UTC, datetime, timedelta

from sakk.store.database import Database
from sakk.store.escrow_proof import Emptied, emptied, keep_emptied

NETWORK = "eip155:84532"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def test_as_many_as_there_are(database: Database) -> None:
    rows = [Emptied(f"ech_{number:05}", NETWORK, number, 7, NOW) for number in range(14_000)]
    later = [Emptied("ech_00003", NETWORK, 9, 8, NOW + timedelta(seconds=1))]
    with database.begin() as connection:
        keep_emptied(connection, rows, [])
        keep_emptied(connection, later, ["ech_00004"])
        found = emptied(connection, NETWORK)
        assert emptied(connection, "eip155:1") == []
    assert len(found) == 13_999
    # What was looked at longest ago is first, so that its turn comes.
    assert (found[0], found[-1]) == (rows[0], later[0])
    assert "ech_00004" not in {each.channel_id for each in found}
