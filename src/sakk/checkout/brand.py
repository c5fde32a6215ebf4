"""Logos and colours: named by what they are, so browsers keep them for ever."""

import re
from typing import Final

from sakk.checkout.visit import Response, Visit
from sakk.core.branding import style_of
from sakk.pages.static_files import FOREVER
from sakk.store import branding as store

_LOGO: Final = re.compile(r"[0-9a-f]{32}\.png")
_STYLE: Final = re.compile(r"[0-9a-f]{6}\.css")
_SEALED: Final = {
    "cache-control": FOREVER,
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}


def show(visit: Visit) -> Response:
    """A picture that an account gave, or the style sheet of a colour."""
    name = visit.token
    if _STYLE.fullmatch(name):
        body = style_of(name.removesuffix(".css")).encode()
        return Response(200, {"content-type": "text/css; charset=utf-8", **_SEALED}, body)
    logo = None
    if _LOGO.fullmatch(name):
        with visit.parts.database.begin() as connection:
            logo = store.find_logo(connection, name.removesuffix(".png"))
    if logo is None:
        return Response(404, {"cache-control": "no-store"})
    return Response(200, {"content-type": "image/png", **_SEALED}, logo)
