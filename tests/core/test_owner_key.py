"""Owner keys: only who holds a key registers it, for the account that its signature names."""

from datetime import UTC, datetime

import pytest
from eth_account import Account

from sakk.core import owner_key as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.owner_key import OwnerKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = Account.from_key("0x" + "46" * 32)
ADDRESS = OWNER.address.lower()


def signed(account_id: str) -> str:
    typed = rules.typed_data(account_id, ADDRESS)
    return str(OWNER.sign_typed_data(full_message=typed).signature.hex())


def test_the_holder_of_a_key_registers_it() -> None:
    rules.check_possession("acct_1", ADDRESS, signed("acct_1"))


@pytest.mark.parametrize(
    ("account_id", "address", "signature", "said"),
    [
        ("acct_2", ADDRESS, signed("acct_1"), "This is the signature of"),
        ("acct_1", "0x" + "11" * 20, signed("acct_1"), "This is the signature of"),
        ("acct_1", ADDRESS, "0x00", "no signature"),
        ("acct_1", ADDRESS, "00" * 65, "no signature"),
    ],
)
def test_nobody_else_does(account_id: str, address: str, signature: str, said: str) -> None:
    with pytest.raises(ParameterInvalid, match=said) as caught:
        rules.check_possession(account_id, address, signature)
    assert caught.value.param == "signature"


@pytest.mark.parametrize("revoked_at", [None, NOW])
def test_it_is_shown(revoked_at: datetime | None) -> None:
    key = OwnerKey(
        id="ok_1",
        account_id="acct_1",
        livemode=False,
        address=ADDRESS,
        name="Ada's Ledger",
        signature=b"",
        revoked_at=revoked_at,
        created=NOW,
    )
    shown = rules.public_owner_key(key)
    assert shown["address"] == OWNER.address
    assert shown["revoked_at"] == (None if revoked_at is None else int(NOW.timestamp()))
    assert "signature" not in shown
