"""Adapters: each of the operator's accounts has its bank's, in a folder under one directory."""

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from sakk.core.bank_account import Adapter, BankAccount, read_terms
from sakk.rails.bank.folder import Folder
from sakk.rails.bank.rail import BankRail
from sakk.rails.bank.sandbox import SandboxBank


def banks_in(directory: Path) -> Callable[[BankAccount], BankRail]:
    """The way to each account's bank."""

    def rail(account: BankAccount) -> BankRail:
        assert account.terms is not None, "only the operator's own accounts have a bank to go to"
        terms = read_terms(account.terms)
        match terms.adapter:
            case Adapter.folder:
                return Folder(directory / terms.folder)
            case Adapter.sandbox:
                return sandbox_bank(directory, account)
            case _:
                assert_never(terms.adapter)

    return rail


def sandbox_bank(directory: Path, account: BankAccount) -> SandboxBank:
    """The sandbox's bank behind an account's folder."""
    assert account.terms is not None
    return SandboxBank(
        directory / read_terms(account.terms).folder,
        account=account.iban or account.number or "",
        currency=account.currency,
        opening_units=account.opening_units,
        opened=account.created.date(),
    )
