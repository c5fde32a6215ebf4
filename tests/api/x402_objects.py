"""Objects of HTTP 402, as far as no chain is needed for them."""

from sakk.store.identity import new_id
from sakk.store.x402_payment import reserve
from tests.api.world import Api
from tests.core.test_x402_payment import payment


def put_x402_payment(api: Api, account: str) -> str:
    """A payment that was verified, and never settled."""
    row = payment(id=new_id("xp"), account_id=account, status="reserved")
    with api.database.begin() as connection:
        assert reserve(connection, [row])
    return row.id
