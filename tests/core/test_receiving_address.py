from tests.core.test_network import START, asset

from sakk.core.receiving_address import ReceivingAddress, public


def test_its_object_says_what_is_credited_there() -> None:
    found = ReceivingAddress("ra_1", "acct_1", False, "eip155:1", "0x" + "ab" * 20, START)
    named = asset(eip712_name="USDC", eip712_version="2")
    native = asset(contract=None)
    nameless = asset()
    shown = public(found, [named, native, nameless])
    assert shown["address"] == "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
    assert [each["eip712"] for each in shown["supported_tokens"]] == [
        {"name": "USDC", "version": "2"},
        None,
    ]
    assert (shown["network"], shown["account"]) == ("eip155:1", "acct_1")
