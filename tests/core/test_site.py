"""Where passkeys belong to."""

import pytest

from sakk.core.site import Site, site_of


@pytest.mark.parametrize(
    ("public_url", "site"),
    [
        ("https://pay.example", Site("pay.example", ("https://pay.example",))),
        ("https://pay.example:8443/x", Site("pay.example", ("https://pay.example:8443",))),
        ("http://localhost:8402", Site("localhost", ("http://localhost:8402",))),
        ("http://127.0.0.1:8402", Site("localhost", ("http://localhost:8402",))),
        ("http://[::1]:8402", Site("localhost", ("http://localhost:8402",))),
        ("http://pay.example", None),
        ("https://203.0.113.7", None),
    ],
)
def test_the_site_at_an_address(public_url: str, site: Site | None) -> None:
    assert site_of(public_url) == site
