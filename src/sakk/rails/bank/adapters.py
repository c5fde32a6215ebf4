"""Adapters: each of the operator's accounts has its bank's, in a folder or at a server."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import aiohttp

from sakk.core.bank_account import (
    Adapter,
    BankAccount,
    BankTerms,
    provider_address,
    read_terms,
)
from sakk.rails.bank.folder import Folder
from sakk.rails.bank.http import Cursor, HttpBank
from sakk.rails.bank.provider_call import ProviderCaller
from sakk.rails.bank.rail import BankRail, BankUnreachable
from sakk.rails.bank.sandbox import SandboxBank
from sakk.rails.bank.sandbox_provider import SandboxProvider
from sakk.rails.bank.sftp_key import private_key
from sakk.rails.bank.sighting import Sightings
from sakk.rails.bank.wise import Wise
from sakk.rails.bank.wise_statement import WiseStatements
from sakk.store.bank_download import Downloads
from sakk.store.database import Database
from sakk.store.identity import now as wall_clock
from sakk.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Banks:
    """The way to each account's bank; what is remembered between calls stands here."""

    directory: Path
    database: Database | None = None
    vault: Vault | None = None
    connector: Callable[[], aiohttp.TCPConnector] = aiohttp.TCPConnector
    allow_loopback: bool = False
    quiet_seconds: float | None = None
    clock: Callable[[], datetime] = wall_clock
    # How the sandbox's provider tells of an account's orders.
    tell: Callable[[str, dict[str, Any]], None] | None = None
    cursors: dict[str, Cursor] = field(default_factory=dict)
    sightings: dict[str, Sightings] = field(default_factory=dict)
    failed: dict[str, dict[str, datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, account: BankAccount) -> BankRail:
        assert account.terms is not None, "only the operator's own accounts have a bank to go to"
        terms = read_terms(account.terms)
        match terms.adapter:
            case Adapter.folder:
                return Folder(self.directory / terms.folder)
            case Adapter.sandbox:
                return sandbox_bank(self.directory, account)
            case Adapter.sftp:
                return self._sftp(account, terms)
            case Adapter.http:
                return self._http(account, terms)
            case Adapter.provider if terms.provider == "sandbox":
                return sandbox_provider(self.directory, account, clock=self.clock, tell=self.tell)
            case Adapter.provider:
                return self._wise(account, terms)
            case _:
                assert_never(terms.adapter)

    def _sftp(self, account: BankAccount, terms: BankTerms) -> BankRail:
        try:
            # An extra: most installations have no such bank.
            from sakk.rails.bank.sftp import QUIET_SECONDS, SftpBank
        except ModuleNotFoundError as error:
            raise BankUnreachable("install the extra: pip install 'sakk[sftp]'") from error
        with self.lock:
            seen = self.sightings.setdefault(account.id, Sightings())
        return SftpBank(
            terms.address or "",
            host_key=terms.trust or "",
            private_key=private_key(self._vault(), account),
            taken=self._downloads(account),
            sightings=seen,
            quiet_seconds=QUIET_SECONDS if self.quiet_seconds is None else self.quiet_seconds,
        )

    def _http(self, account: BankAccount, terms: BankTerms) -> BankRail:
        if account.secret is None:
            raise BankUnreachable(f"give the bank's secret: sakk bank connect {account.id}")
        with self.lock:
            cursor = self.cursors.setdefault(account.id, Cursor())
        return HttpBank(
            terms.address or "",
            secret=self._vault().open(account.secret, f"bank secret {account.id}"),
            taken=self._downloads(account),
            cursor=cursor,
            connector=self.connector,
            authority=terms.trust,
            allow_loopback=self.allow_loopback,
        )

    def _wise(self, account: BankAccount, terms: BankTerms) -> BankRail:
        if account.secret is None:
            raise BankUnreachable(f"give the token: sakk bank connect {account.id} --secret FILE")
        caller = ProviderCaller(
            provider_address(terms),
            token=self._vault().open(account.secret, f"bank secret {account.id}"),
            connector=self.connector,
            allow_loopback=self.allow_loopback,
        )
        profile = terms.provider_account or ""
        with self.lock:
            failed = self.failed.setdefault(account.id, {})
        statements = WiseStatements(
            caller,
            profile,
            currency=account.currency,
            account=account.iban or account.number or "",
            is_iban=account.iban is not None,
            opened=account.created.date(),
            taken=self._downloads(account),
            failed=failed,
            clock=self.clock,
        )
        return Wise(caller, profile, statements)

    def _downloads(self, account: BankAccount) -> Downloads:
        assert self.database is not None, "banks with servers were wired without the database"
        return Downloads(self.database, account.id)

    def _vault(self) -> Vault:
        if self.vault is None:
            raise BankUnreachable("this machine has no vault key: set SAKK_VAULT_KEY_FILE")
        return self.vault


def sandbox_provider(
    directory: Path,
    account: BankAccount,
    *,
    clock: Callable[[], datetime] = wall_clock,
    tell: Callable[[str, dict[str, Any]], None] | None = None,
) -> SandboxProvider:
    """The provider ``sandbox``, which has test money alone."""
    assert account.terms is not None
    return SandboxProvider(
        directory / read_terms(account.terms).folder,
        account=account.iban or account.number or "",
        currency=account.currency,
        opening_units=account.opening_units,
        opened=account.created.date(),
        clock=clock,
        tell=None if tell is None else partial(tell, account.id),
    )


def sandbox_bank(directory: Path, account: BankAccount) -> SandboxBank:
    """The sandbox's bank behind an account's folder."""
    assert account.terms is not None
    return SandboxBank(
        directory / read_terms(account.terms).folder,
        account=account.iban or account.number or "",
        currency=account.currency,
        opening_units=account.opening_units,
        opened=account.created.date(),
        statements=read_terms(account.terms).statements,
    )
