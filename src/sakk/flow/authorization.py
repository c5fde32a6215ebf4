"""Authorizations: take in what was signed where the seed is, one verified signature an address."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sakk.core import authorization as rules
from sakk.core import evm, hd
from sakk.core.errors import ParameterInvalid
from sakk.store import address
from sakk.store import authorization as store
from sakk.store.authorization import StoredAuthorization
from sakk.store.database import Database

LINES_PER_COMMIT = 1_000


@dataclass(frozen=True, slots=True)
class ImportedAuthorizations:
    """What an import found: how many lines, how many of them new, for which delegate."""

    delegate: str
    lines: int
    added: int


def import_authorizations(
    database: Database,
    lines: Iterable[str],
    *,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> ImportedAuthorizations:
    """Verify a file of authorizations against the addresses of the wallet's xpub, and keep them.

    Again, it adds nothing. ParameterInvalid names the first line that does not hold: nothing from
    its thousand lines on is kept, and what came before holds.
    """
    remaining = enumerate(iter(lines), start=1)
    _, first = next(remaining, (1, ""))
    try:
        header = rules.read_file_header(first)
    except ValueError as error:
        raise ParameterInvalid(f"line 1: {error}", param="file") from None
    with database.begin() as connection:
        seeds = address.find_seeds(connection)
    if header.xpub not in {seed.xpub for seed in seeds}:
        raise ParameterInvalid(
            "The file is of another extended public key than the addresses here: make it with the "
            "seed that belongs to this database.",
            param="file",
        )
    total = added = 0
    while chunk := list(islice(remaining, LINES_PER_COMMIT)):
        rows = list(_verified(chunk, header, seeds, now=now))
        with database.begin() as connection:
            added += store.insert(connection, rows)
        total += len(rows)
        if progress is not None:
            progress(total)
    return ImportedAuthorizations(delegate=header.delegate, lines=total, added=added)


def _verified(
    lines: Iterable[tuple[int, str]],
    header: rules.FileHeader,
    seeds: Sequence[hd.Seed],
    *,
    now: datetime,
) -> Iterator[StoredAuthorization]:
    wanted = rules.for_delegate(header.delegate)
    for number, line in lines:
        try:
            index, signature = rules.read_file_line(line)
            expected = hd.deposit_address(hd.xpub_at(seeds, index), index)
            signer = rules.authority(rules.SignedAuthorization(wanted, signature))
        except ValueError as error:
            raise ParameterInvalid(f"line {number}: {error}", param="file") from None
        if signer != expected:
            raise ParameterInvalid(
                f"line {number}: it is signed by {evm.checksum_address(signer)}, not by deposit "
                f"address {index}, {evm.checksum_address(expected)}",
                param="file",
            )
        yield StoredAuthorization(
            delegate=header.delegate,
            address=expected,
            key_index=index,
            signature=rules.compact(signature),
            created=now,
        )
