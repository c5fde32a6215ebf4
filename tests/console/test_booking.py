"""The ledger's codes are said in words: each has some, and no two say the same."""

from sakk.console.booking import KINDS, REASONS, unit_sign
from sakk.core.chart import AccountCode, TransferCode


def test_each_code_of_the_ledger_has_words_of_its_own() -> None:
    assert set(REASONS) == {code.name for code in TransferCode}
    assert set(KINDS) == {code.name for code in AccountCode}
    assert len(set(REASONS.values())) == len(REASONS)
    assert len(set(KINDS.values())) == len(KINDS)


def test_a_unit_is_a_sign_and_a_token_that_nobody_lists_any_more_is_itself() -> None:
    token = "eip155:84532/erc20:0x5b"
    assert unit_sign(token, {token: ("USDC", 6)}) == "USDC"
    assert (unit_sign(token, {}), unit_sign("test/usdc", {})) == (token, "usdc")
