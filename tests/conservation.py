"""Nothing is made and nothing is lost: what is true of every channel, payee and mandate, always.

The ledger's own entries are held against the rows, two counts of the same, and where there is a
chain, against what x402's escrow says there.
"""

from collections import Counter
from typing import Any

from sqlalchemy import Connection, text

from sakk.core import chart
from sakk.ledger.projection import catch_up
from sakk.rails.evm.escrow import read_states
from sakk.rails.evm.rpc import Rpc
from sakk.store.agreement import miscounted_channels, unbalanced_units
from sakk.store.database import Database
from sakk.store.escrow_channel import channels_of
from sakk.store.escrow_proof import standing_units
from tests.chain import Chain

# What charges moved, by the account's name: below zero out of channels, above it to payees.
_CHARGES = (
    "SELECT n.name, sum(e.amount) AS units FROM ledger_entries e"
    " JOIN ledger_transfers t ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns"
    " JOIN ledger_account_names n ON n.id = e.account_id"
    " WHERE t.charges IS NOT NULL GROUP BY n.name"
)
_BALANCES = (
    "SELECT n.name, a.credits_posted - a.debits_posted AS units FROM ledger_accounts a"
    " JOIN ledger_account_names n ON n.id = a.id WHERE n.name LIKE 'channel:%'"
    " OR n.name LIKE 'mandate:%total#%'"
)
_CREDITS = (
    "SELECT n.name, a.credits_posted AS units FROM ledger_accounts a"
    " JOIN ledger_account_names n ON n.id = a.id WHERE n.name LIKE 'channel:ech_%'"
)
_VOUCHERS = "SELECT channel_id AS name, ceiling AS units FROM escrow_vouchers"
_CHANNELS = (
    "SELECT c.*, coalesce(r.units, 0) AS back FROM channels c LEFT JOIN"
    " (SELECT channel_id, sum(amount) AS units FROM charge_refunds"
    " WHERE status = 'posted' AND NOT to_payer GROUP BY channel_id) r ON r.channel_id = c.id"
    " WHERE c.kind = 'balance'"
)
# What was taken of a mandate's total: spends, and what channels under it took and kept.
_MANDATES = (
    "SELECT m.id, m.livemode, m.currency,"
    " CAST(m.terms->>'total' AS numeric) AS total,"
    " (SELECT coalesce(sum(s.amount), 0) FROM mandate_spends s WHERE s.mandate = m.id"
    " AND s.status IN ('posted', 'reserved'))"
    " + (SELECT coalesce(sum(c.funded - c.returned), 0) FROM channels c WHERE c.mandate = m.id)"
    " AS taken FROM mandates m WHERE m.status = 'active'"
)

# What the chain may show and the books do not yet, or the other way round.
_UNDER_WAY = (
    "SELECT (SELECT count(*) FROM escrow_calls WHERE status NOT IN ('posted', 'failed'))"
    " + (SELECT count(*) FROM transactions WHERE purpose IN ('escrow', 'redemption')"
    " AND status NOT IN ('posted', 'failed', 'refused'))"
)


def check_conserved(database: Database) -> None:
    """What was charged is what payees earned, and with what is left it is what was put in."""
    catch_up(database.url)
    with database.begin() as connection:
        assert unbalanced_units(connection) == []
        assert miscounted_channels(connection, limit=5) == []
        charges = _units(connection, _CHARGES)
        balances = _units(connection, _BALANCES)
        channels = connection.execute(text(_CHANNELS)).all()
        escrows = connection.execute(text("SELECT * FROM escrow_channels")).all()
        credits, vouchers = _units(connection, _CREDITS), _units(connection, _VOUCHERS)
        mandates = connection.execute(text(_MANDATES)).all()
    earned: Counter[str] = Counter()
    for row in channels:
        unit = chart.currency_unit(row.currency, livemode=row.livemode)
        own = chart.channel(row.id, unit).name
        charged, left = -charges.get(own, 0), balances.get(own, 0)
        assert int(row.funded + row.back) == charged + int(row.returned) + left, row.id
        earned[chart.merchant(row.payee, "available", unit).name] += charged
    for row in escrows:
        unit = chart.currency_unit(row.currency, livemode=row.livemode)
        charged = -charges.get(chart.channel(row.id, unit).name, 0)
        assert charged >= int(row.redeemed), row.id
        # No more was ever signed for than the highest voucher says, less what went back.
        signed, *back = (
            credits.get(chart.channel(f"{row.id}{name}", unit).name, 0)
            for name in ("", ":unsigned", ":refunded")
        )
        assert signed - sum(back) <= vouchers.get(row.id, 0), row.id
        earned[chart.merchant(row.account_id, "incoming", unit).name] += charged
    paid = {name: units for name, units in charges.items() if units > 0}
    assert paid == {name: units for name, units in earned.items() if units}
    for row in mandates:
        unit = chart.currency_unit(row.currency, livemode=row.livemode)
        left = balances.get(chart.mandate_budget(row.id, "total", unit).name, int(row.total))
        assert left == int(row.total - row.taken), row.id


def check_escrowed(database: Database, chain: Chain) -> None:
    """By the contract itself: nothing is claimed that was not charged, and nothing else is gone.

    Call after `check_conserved`.
    """
    with database.begin() as connection:
        channels = channels_of(connection, chain.network)
        charges, standing = _units(connection, _CHARGES), standing_units(connection, channels)
        under_way = connection.execute(text(_UNDER_WAY)).scalar_one()
    if not channels:
        return
    rpc = Rpc([chain.rpc_url])
    try:
        states = read_states(rpc, [bytes.fromhex(each.channel[2:]) for each in channels])
    finally:
        rpc.close()
    for channel, state in zip(channels, states, strict=True):
        charged = -charges.get(chart.channel(channel.id, channel.unit).name, 0)
        assert channel.redeemed <= state.total_claimed <= charged, channel.id
        assert state.total_claimed <= state.balance, channel.id
        if not under_way:
            assert standing[channel.id] == state.balance, channel.id
            assert channel.redeemed == state.total_claimed, channel.id


def _units(connection: Connection, statement: str) -> dict[str, int]:
    found: Any = connection.execute(text(statement)).all()
    return {row.name: int(row.units) for row in found}
