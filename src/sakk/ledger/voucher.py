"""Vouchers in the journal: a payer's signature beside the charge that it pays, in one write.

No machine judges them, and no account changes by them: they are kept. A record is as long as every
other: the channel 16 (our own id) · ceiling u128, little-endian · r, s and v of the signature 65 ·
31 zeros. The projection keeps of each channel the one with the highest ceiling, and the writer
remembers those that the projection has not written yet.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sakk.core import ids
from sakk.core.escrow import SIGNATURE_BYTES
from sakk.ledger.group import RESOLVED, Kind
from sakk.ledger.journal import GROUP, REQUEST, RESULT_SIZE
from sakk.ledger.record import ID_SIZE, NO_RECORD, RECORD_SIZE, split
from sakk.ledger.types import Ledger
from sakk.store import escrow_channel as store
from sakk.store.database import Database

VOUCHER = struct.Struct("<16s16s65s31x")
# So many channels are remembered before the projection is asked how far it is.
CHANNELS_MIN = 4_096


class KeptVoucher(NamedTuple):
    """One record. ``channel``: its id here, 16 bytes."""

    channel: bytes
    ceiling: int
    signature: bytes


def encode_voucher(voucher: KeptVoucher) -> bytes:
    """One voucher as a record; ValueError where its signature is of another length."""
    if len(voucher.signature) != SIGNATURE_BYTES:
        raise ValueError(f"a voucher's signature has {SIGNATURE_BYTES} bytes")
    ceiling = voucher.ceiling.to_bytes(16, "little")
    return VOUCHER.pack(voucher.channel, ceiling, voucher.signature)


def decode_vouchers(records: bytes) -> list[KeptVoucher]:
    """Records as vouchers; struct.error if they are not whole."""
    return [
        KeptVoucher(channel, int.from_bytes(ceiling, "little"), signature)
        for channel, ceiling, signature in VOUCHER.iter_unpack(records)
    ]


def vouchers_in(payload: bytes) -> bytes:
    """The records of vouchers in a payload that was checked."""
    _, requests, expired = GROUP.unpack_from(payload)
    at = GROUP.size + expired * ID_SIZE
    found: list[bytes] = []
    for _ in range(requests):
        kind, count, resolved = REQUEST.unpack_from(payload, at)
        start = at + REQUEST.size
        end = start + count * RECORD_SIZE
        if kind == Kind.keep_vouchers:
            found.append(payload[start:end])
        at = end + count * RESULT_SIZE + resolved * RESOLVED.size
    return b"".join(found)


def highest(payloads: Iterable[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """Of each channel in these payloads the highest voucher: ceiling and signature."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for payload in payloads:
        for channel, ceiling, signature in decode_vouchers(vouchers_in(payload)):
            if ceiling > found.get(channel, (0, b""))[0]:
                found[channel] = (ceiling, signature)
    return found


class Remembered:
    """Of each channel the highest voucher that the projection may not have written yet.

    One a channel, however long the journal's tail is. Of one thread.
    """

    def __init__(self) -> None:
        self._of: dict[bytes, tuple[int, bytes, int]] = {}
        self._ask_at = CHANNELS_MIN

    @property
    def is_long(self) -> bool:
        """Are there so many that it is worth asking which of them stand in rows by now?"""
        return len(self._of) >= self._ask_at

    def keep(self, records: bytes, sequence: int) -> None:
        """Vouchers of the journal's row ``sequence``."""
        of = self._of
        for channel, ceiling, signature in VOUCHER.iter_unpack(records):
            total = int.from_bytes(ceiling, "little")
            if total > of.get(channel, _NOTHING)[0]:
                of[channel] = (total, signature, sequence)

    def forget(self, projected: int) -> None:
        """The projection has written everything up to this row."""
        self._of = {name: kept for name, kept in self._of.items() if kept[2] > projected}
        self._ask_at = max(CHANNELS_MIN, 2 * len(self._of))

    def lookup(self, channels: bytes) -> bytes:
        """A record for each of these channels, zeros where nothing is remembered."""
        records = []
        for channel in split(channels, ID_SIZE):
            kept = self._of.get(channel)
            records.append(
                NO_RECORD
                if kept is None
                else encode_voucher(KeptVoucher(channel, kept[0], kept[1]))
            )
        return b"".join(records)


_NOTHING = (0, b"", 0)


def kept_vouchers(
    ledger: Ledger, database: Database, identifiers: Sequence[str]
) -> dict[str, tuple[int, bytes]]:
    """The highest voucher of each of these channels that has one: ceiling and signature, by id.

    In rows, or in the journal alone as yet. What the ledger remembers is asked first: what is
    projected meanwhile stands in the rows then. At most ``BATCH_MAX`` channels; raises what a
    lookup in the ledger does.
    """
    if not identifiers:
        return {}
    names = [ids.decode(each)[1].to_bytes(ID_SIZE, "big") for each in identifiers]
    records = split(ledger.lookup_encoded("vouchers", b"".join(names)))
    with database.read() as connection:
        found = store.vouchers_of(connection, identifiers)
    for name, record in zip(identifiers, records, strict=True):
        if record == NO_RECORD:
            continue
        [kept] = decode_vouchers(record)
        if kept.ceiling > found.get(name, (0, b""))[0]:
            found[name] = (kept.ceiling, kept.signature)
    return found
