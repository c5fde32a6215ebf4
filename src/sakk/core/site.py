"""The site that passkeys belong to: its name and its origins (WebAuthn level 3, 5.1.2).

A passkey belongs to a domain. This machine itself has one, ``localhost``; a bare IP address has
none, so there people sign in by password.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

LOCALHOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class Site:
    """``name``: the relying party's id."""

    name: str
    origins: tuple[str, ...]


def site_of(public_url: str) -> Site | None:
    """The site at an address; None where passkeys can not be used."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    try:
        if not ipaddress.ip_address(host).is_loopback:
            return None
    except ValueError:
        is_safe = parts.scheme == "https" or host == LOCALHOST
        return Site(host, (f"{parts.scheme}://{host}{port}",)) if is_safe else None
    return Site(LOCALHOST, (f"{parts.scheme}://{LOCALHOST}{port}",))
