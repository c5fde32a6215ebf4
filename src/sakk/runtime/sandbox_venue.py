"""The venues of the sandbox: simulated, and named so. No order leaves this machine.

One is quick and takes more; the other is slow, cheap, and takes no small orders.
"""

from sakk.core.rate import Price
from sakk.flow.rate import read_market
from sakk.rails.sandbox.venue import SimulatedVenue
from sakk.rails.venue import Venue
from sakk.runtime.settings import Settings
from sakk.store.database import Database
from sakk.store.identity import now


def simulated_venues(settings: Settings, database: Database) -> list[Venue]:
    """Two venues in the sandbox, and none anywhere else: an exchange needs its own adapter."""
    if not settings.sandbox:
        return []

    def around(base: str, quote: str) -> Price | None:
        with database.begin() as connection:
            found = read_market(connection, now=now()).find(base, quote)
        return None if found is None else found.price

    folder = settings.data_dir / "venues"
    return [
        SimulatedVenue(
            "simulated_north", folder / "north.jsonl", around, fee_ppm=500, latency_ms=40
        ),
        SimulatedVenue(
            "simulated_south",
            folder / "south.jsonl",
            around,
            fee_ppm=200,
            latency_ms=400,
            minimum=10_000_000,
            depth=50,
        ),
    ]
