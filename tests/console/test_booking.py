"""The ledger's codes are said in words: each has some, and no two say the same."""

from sakk.console.booking import KINDS, REASONS
from sakk.core.chart import AccountCode, TransferCode


def test_each_code_of_the_ledger_has_words_of_its_own() -> None:
    assert set(REASONS) == {code.name for code in TransferCode}
    assert set(KINDS) == {code.name for code in AccountCode}
    assert len(set(REASONS.values())) == len(REASONS)
    assert len(set(KINDS.values())) == len(KINDS)
