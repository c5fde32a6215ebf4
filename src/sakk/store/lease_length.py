"""How long this process's leases last; apart from the leases, so that settings need no database."""

from datetime import timedelta

LEASE_SECONDS_DEFAULT = 30

_length = timedelta(seconds=LEASE_SECONDS_DEFAULT)


def set_lease_length(length: timedelta) -> None:
    """Say it once, when the process starts."""
    global _length
    _length = length


def lease_length() -> timedelta:
    """What a killed worker was doing waits as long for the next."""
    return _length
