import pytest

from sakk.core import clone, hub
from sakk.core.collection import items_of

FACTORY = "0x" + "fa" * 20
TOKEN = "0x" + "22" * 20
DEPOSIT = "0x" + "11" * 20


def test_a_call_names_its_deposits_whichever_contract_is_called() -> None:
    item = hub.Item(DEPOSIT, TOKEN, 5)
    assert items_of("0x" + "0b" * 20, hub.encode_sweep([item])) == (item,)
    salt = clone.salt_of(DEPOSIT)
    data = clone.encode_sweep([clone.Item(salt, TOKEN, 5)])
    assert items_of(FACTORY, data) == (hub.Item(clone.clone_of(FACTORY, DEPOSIT), TOKEN, 5),)


@pytest.mark.parametrize("to", [None, FACTORY])
def test_what_is_neither_is_refused(to: str | None) -> None:
    with pytest.raises(ValueError, match="not a sweep of the hub"):
        items_of(to, b"\x01\x02\x03\x04")
