"""Words of SQL by which rows are made by the thousand."""

import json
from typing import Any, Final

NETWORK: Final = "eip155:84532"
ASSET: Final = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
ID: Final = "lpad(i::text, 26, '0')"
HASH: Final = "'0x' || lpad(to_hex(i), 64, '0')"
ADDRESS: Final = "'0x' || lpad(to_hex(i), 40, '0')"
# The newest has the highest number.
MOMENT: Final = "now() - (1000000 - i) * interval '1 second'"
NANOSECONDS: Final = "1700000000000000000 + i::bigint * 1000000000"
# Whose rows they are, and the ledger's number of its unit, until they are known.
ACCOUNT: Final = "«account»"
UNIT: Final = "«unit»"
MERCHANT: Final = "'00000000-0000-0000-0000-00000000000a'::uuid"
OPERATOR: Final = "'00000000-0000-0000-0000-00000000000b'::uuid"


def seldom(often: str, once: str) -> str:
    """One in a thousand is of another kind, as what waits for people is."""
    return f"CASE WHEN i % 1000 = 0 THEN '{once}' ELSE '{often}' END"


def of(value: Any) -> str:
    return "'" + json.dumps(value).replace("'", "''") + "'"


def each(value: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, value)


UNITS: Final = {"currency": "'usdc'", "decimals": "6"}
