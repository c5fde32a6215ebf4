"""The venues of the sandbox: simulated, and named so. No order leaves this machine."""

from sakk.core.rate import Price
from sakk.flow.rate import read_market
from sakk.rails.sandbox.venue import SANDBOX, SimulatedVenue
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
            each.name,
            folder / each.file,
            around,
            fee_ppm=each.fee_ppm,
            latency_ms=each.latency_ms,
            minimum=each.minimum,
            depth=each.depth,
        )
        for each in SANDBOX
    ]
