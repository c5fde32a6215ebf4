"""The settings of the proxy: read whole, or refused with the line."""

import pytest

from sakk.paywall import Metered, PaywallError
from sakk.paywall.config import read_config

GOOD = """\
upstream = "http://127.0.0.1:3000"
sakk = "https://pay.example"
listen = "[::1]:8403"
workers = 2
currencies = ["usdc"]

[[routes]]
pattern = "/health"
price = "free"

[[routes]]
pattern = "GET /weather/{city}"
price = ["$0.001", "0.0009 usdc"]
description = "Weather"
upstream = "http://127.0.0.1:3001"

[[routes]]
pattern = "POST /v1/chat"
price_per_unit = "$0.000002"
units_max = 8000
unit = "token"
"""


def test_a_file_is_read_whole() -> None:
    config = read_config(GOOD)
    free, fixed, metered = config.compiled()
    assert (free.price, fixed.price) == (None, ["$0.001", "0.0009 usdc"])
    assert metered.price == Metered("$0.000002", 8000, "token")
    assert (config.workers, config.settle, config.currencies) == (2, "before", ["usdc"])


def test_what_is_given_goes_before_the_file() -> None:
    assert read_config(GOOD, {"workers": 7}).workers == 7


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("workers = 2", "workers = ", 4, "line 4"),
        ("workers = 2", 'workers = "2"', 4, "workers: Expected `int`"),
        ("workers = 2", "workers = 0", 4, "workers"),
        ("workers = 2", "wrokers = 2", 4, "unknown field `wrokers`"),
        ('listen = "[::1]:8403"', 'listen = "8403"', 3, "host:port"),
        ('upstream = "http://127.0.0.1:3000"', 'upstream = "3000"', 1, "upstream"),
        ('sakk = "https://pay.example"', 'sakk = "pay.example"', 2, "sakk"),
        ('currencies = ["usdc"]', 'schemes = ["upto"]', 5, "schemes"),
        ('currencies = ["usdc"]', 'settle = "later"', 5, "settle"),
        ('currencies = ["usdc"]', 'health_path = "healthz"', 5, "health_path"),
        ('price = "free"', 'price = "gratis"', 9, "price"),
        ('price = "free"', "", 7, "price"),
        ('price = "free"', 'price = "free"\nunits_max = 1', 10, "units_max"),
        ('pattern = "GET /weather/{city}"', 'pattern = "weather"', 12, "no path"),
        ('pattern = "GET /weather/{city}"', "", 11, "missing required field `pattern`"),
        ('"http://127.0.0.1:3001"', '"3001"', 15, "upstream"),
        ("units_max = 8000", "", 17, "units_max"),
        ("units_max = 8000", "units_max = -1", 20, "units_max"),
        ("units_max = 8000", "units_max = 1.5", 20, "units_max"),
        ('price_per_unit = "$0.000002"', 'price_per_unit = "2"', 19, "price"),
        ('unit = "token"', 'units = "token"', 21, "unknown field `units`"),
    ],
)
def test_an_error_names_the_line(old: str, new: str, line: int, what: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(PaywallError) as raised:
        read_config(GOOD.replace(old, new))
    assert str(raised.value).startswith(f"line {line}: ")
    assert what in str(raised.value)


def test_an_address_of_a_sakk_or_a_facilitator_is_needed() -> None:
    text = 'upstream = "http://x"\n[[routes]]\npattern = "/*"\nprice = "$1"\n'
    with pytest.raises(PaywallError, match="line 1: sakk"):
        read_config(text)
    exact = """
[[exact]]
facilitator = "https://facilitator.example"
network = "eip155:8453"
asset = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
pay_to = "0x00000000000000000000000000000000000000aa"
currency = "usdc"
decimals = 6
"""
    with pytest.raises(PaywallError, match="line 6: name"):
        read_config(text + exact)
    config = read_config(text + exact + 'name = "USD Coin"\nversion = "2"\n')
    assert config.exact[0].name == "USD Coin"
