"""Owner keys: the keys whose holders sign mandates for an account.

Whoever registers one proves to hold it, by a signature over words that name the account: nobody
signs mandates for an account with a key that the account does not know.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core.eip712 import signer
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.mandate import DOMAIN_NAME, DOMAIN_VERSION

PREFIX: Final = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerKey:
    """A row. ``address`` in lower case; ``signature`` proved at registration that it is held."""

    id: str
    account_id: str
    livemode: bool
    address: str
    name: str | None
    signature: bytes
    revoked_at: datetime | None
    created: datetime


def typed_data(account_id: str, address: str) -> dict[str, Any]:
    """What the holder signs to register a key: for ``eth_signTypedData_v4``."""
    text = {"type": "string"}
    shown = checksum_address(address)
    return {
        "types": {
            "EIP712Domain": [{"name": "name", **text}, {"name": "version", **text}],
            "OwnerKey": [
                {"name": "statement", **text},
                {"name": "account", **text},
                {"name": "key", "type": "address"},
            ],
        },
        "primaryType": "OwnerKey",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION},
        "message": {
            "statement": f"I hold the key {shown}. What I sign with it may let agents spend money "
            f"of the Sakk account {account_id}.",
            "account": account_id,
            "key": shown,
        },
    }


def check_possession(account_id: str, address: str, signature: str) -> None:
    """Is it the key's own signature over `typed_data`? ParameterInvalid if not."""
    try:
        signed_by = signer(typed_data(account_id, address), signature)
    except ValueError as error:
        raise ParameterInvalid(
            f"This is no signature ({error}). Sign typed_data with eth_signTypedData_v4.",
            param="signature",
        ) from None
    if signed_by != address:
        raise ParameterInvalid(
            f"This is the signature of {checksum_address(signed_by)}. Sign typed_data with the key"
            f" of {checksum_address(address)}.",
            param="signature",
        )


def public_owner_key(key: OwnerKey) -> dict[str, Any]:
    """The API's object ``owner_key``."""
    return {
        "id": key.id,
        "object": "owner_key",
        "account": key.account_id,
        "address": checksum_address(key.address),
        "name": key.name,
        "revoked_at": None if key.revoked_at is None else int(key.revoked_at.timestamp()),
        "metadata": {},
        "created": int(key.created.timestamp()),
        "livemode": key.livemode,
    }
