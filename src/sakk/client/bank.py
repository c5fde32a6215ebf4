"""The API's money at banks: accounts, references, files, orders, statements and their lines."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal, Unpack

import msgspec

from sakk.client.endpoint import ListOptions, Retrievable, join, present
from sakk.client.objects import Deleted, Resource
from sakk.client.page import Page


class BankTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How the operator's own account is worked with."""

    folder: str
    adapter: str = "folder"
    address: str | None = None
    batch_minutes: int = 0
    calendar: str | None = None
    cutoff: str | None = None
    fee_floor: int = 500
    fee_ppm_max: int = 50_000
    format: str | None = None
    key_number: int = 1
    profile: str | None = None
    provider: str | None = None
    provider_account: str | None = None
    statements: str | None = None
    timezone: str | None = None
    trust: str | None = None


class BankChange(msgspec.Struct, frozen=True, kw_only=True):
    """What was last proposed of one of the operator's own; ``digest`` to approve it with."""

    kind: str
    status: str
    address: str | None = None
    at: int | None = None
    by: str | None = None
    decided_at: int | None = None
    decided_by: str | None = None
    digest: str | None = None
    fee_floor: int = 500
    fee_ppm_max: int = 50_000
    has_secret: bool = False
    key_number: int = 1
    trust: str | None = None


class BankAccount(Resource, frozen=True, kw_only=True):
    """An account at a bank: somebody's who is paid, or the operator's own."""

    holder: str
    currency: str
    account: str | None = None
    bank_code: str | None = None
    bic: str | None = None
    change: BankChange | None = None
    country: str | None = None
    description: str | None = None
    iban: str | None = None
    number: str | None = None
    opening: int | None = None
    opening_decimal: str | None = None
    role: str = "payee"
    status: str | None = None
    terms: BankTerms | None = None
    usable_at: int | None = None


class BankReference(Resource, frozen=True, kw_only=True):
    """What payers write in a transfer, by which it is known for whom it is."""

    reference: str
    account: str | None = None
    bank_account: str | None = None
    bic: str | None = None
    holder: str | None = None
    iban: str | None = None
    reference_printed: str | None = None


class BankFile(Resource, frozen=True, kw_only=True):
    """A file that went to a bank or came from one, without its bytes."""

    kind: str
    status: str
    way: str
    bank_account: str | None = None
    brought_by: str | None = None
    done_at: int | None = None
    name: str | None = None
    reason: str | None = None
    released_at: int | None = None
    released_by: str | None = None
    sha256: str | None = None
    size: int = 0


class BankPayment(Resource, frozen=True, kw_only=True):
    """One order to a bank: a payout's."""

    amount: int
    currency: str
    payout: str
    status: str
    account: str | None = None
    amount_decimal: str | None = None
    bank_account: str | None = None
    destination: str | None = None
    end_to_end_id: str | None = None
    ended_at: int | None = None
    execution_date: str | None = None
    fee: int = 0
    file: str | None = None
    line: str | None = None
    number: int = 1
    reason: str | None = None
    reason_code: str | None = None
    return_line: str | None = None


class BankStatement(Resource, frozen=True, kw_only=True):
    """What a bank says moved in a period: ``opening + credits - debits == closing``."""

    currency: str
    status: str
    bank_account: str | None = None
    closing: int = 0
    closing_decimal: str | None = None
    credits: int = 0
    debits: int = 0
    file: str | None = None
    from_date: str | None = None
    kind: str | None = None
    lines: int = 0
    number: int | None = None
    opening: int = 0
    reason: str | None = None
    reference: str | None = None
    to_date: str | None = None


class BankLine(Resource, frozen=True, kw_only=True):
    """One line of a statement; ``amount`` below zero went out."""

    amount: int
    currency: str
    status: str
    account: str | None = None
    amount_decimal: str | None = None
    assignment: dict[str, Any] | None = None
    bank_account: str | None = None
    bank_reference: str | None = None
    booking_date: str | None = None
    code: str | None = None
    counterparty_bic: str | None = None
    counterparty_iban: str | None = None
    counterparty_name: str | None = None
    creditor_reference: str | None = None
    end_to_end_id: str | None = None
    number: int = 1
    outcome: str | None = None
    payment: str | None = None
    remittance: str | None = None
    return_code: str | None = None
    statement: str | None = None
    value_date: str | None = None


class BankReturn(Resource, frozen=True, kw_only=True):
    """Money in suspense on its way back to its sender; ``digest`` to confirm with."""

    amount: int
    currency: str
    line: str
    status: str
    amount_decimal: str | None = None
    bank_account: str | None = None
    bank_code: str | None = None
    bic: str | None = None
    by: str | None = None
    by_hand: bool = False
    country: str | None = None
    debit_line: str | None = None
    decided_at: int | None = None
    decided_by: str | None = None
    difference: int = 0
    digest: str | None = None
    end_to_end_id: str | None = None
    ended_at: int | None = None
    execution_date: str | None = None
    fee: int = 0
    fee_max: int = 0
    file: str | None = None
    holder: str | None = None
    iban: str | None = None
    note: str | None = None
    number: str | None = None
    reason: str | None = None
    reason_code: str | None = None
    return_line: str | None = None


class BankAccounts(Retrievable[BankAccount]):
    """Whose accounts are paid; with terms, the operator's own."""

    root = "/v1/bank_accounts"
    kind = BankAccount

    def create(
        self,
        *,
        holder: str,
        currency: str,
        iban: str | None = None,
        bic: str | None = None,
        country: str | None = None,
        number: str | None = None,
        bank_code: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        terms: Mapping[str, Any] | None = None,
        opening: int | None = None,
        idempotency_key: str | None = None,
    ) -> BankAccount:
        """Write an account down: by IBAN, or by number and bank."""
        body = present(
            {
                "holder": holder,
                "currency": currency,
                "iban": iban,
                "bic": bic,
                "country": country,
                "number": number,
                "bank_code": bank_code,
                "description": description,
                "metadata": metadata,
                "terms": terms,
                "opening": opening,
            }
        )
        return self._post(BankAccount, self.root, body, idempotency_key)

    def connect(
        self,
        id: str,
        *,
        address: str | None = None,
        trust: str | None = None,
        secret: str | None = None,
        new_key: bool | None = None,
        idempotency_key: str | None = None,
    ) -> BankAccount:
        """Propose how the bank's server is gone to; another person approves it."""
        told = {"address": address, "trust": trust, "secret": secret, "new_key": new_key}
        return self._post(BankAccount, self._path(id, "connect"), present(told), idempotency_key)

    def confirm(
        self, id: str, *, digest: str, code: str | None = None, idempotency_key: str | None = None
    ) -> BankAccount:
        """Approve what another person proposed of one of the operator's own, as it was shown."""
        body = present({"digest": digest, "code": code})
        return self._post(BankAccount, self._path(id, "confirm"), body, idempotency_key)

    def decline(self, id: str, *, idempotency_key: str | None = None) -> BankAccount:
        """Refuse what was proposed, or take it back."""
        return self._post(BankAccount, self._path(id, "decline"), {}, idempotency_key)

    def delete(self, id: str, *, idempotency_key: str | None = None) -> Deleted:
        """Take an account out of the book."""
        return self._delete(Deleted, self._path(id), idempotency_key)

    def list(
        self,
        *,
        role: Literal["own", "payee"] | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankAccount]:
        """The accounts, newest first."""
        return self._list(self.root, BankAccount, {"role": role, **options})


class BankReferences(Retrievable[BankReference]):
    """By what money for the account is known."""

    root = "/v1/bank_references"
    kind = BankReference

    def create(
        self,
        *,
        currency: str,
        bank_account: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> BankReference:
        """Make a reference at one of the operator's accounts."""
        body = present({"currency": currency, "bank_account": bank_account, "metadata": metadata})
        return self._post(BankReference, self.root, body, idempotency_key)

    def list(self, **options: Unpack[ListOptions]) -> Page[BankReference]:
        """The references, newest first."""
        return self._list(self.root, BankReference, {**options})

    def code(self, id: str, *, amount: int | None = None) -> bytes:
        """The code that a payer's bank reads, as SVG."""
        query = present({"amount": amount})
        return self._transport.request("GET", join(self.root, id, "code"), query=query)


class BankFiles(Retrievable[BankFile]):
    """What goes to banks and comes from them; the operator's."""

    root = "/v1/bank_files"
    kind = BankFile

    def create(
        self, *, file: bytes, name: str | None = None, idempotency_key: str | None = None
    ) -> BankFile:
        """Bring a file that a bank sent; it is read when another person has released it."""
        body = present({"file": b64encode(file).decode(), "name": name})
        return self._post(BankFile, self.root, body, idempotency_key)

    def release(
        self, id: str, *, sha256: str, code: str | None = None, idempotency_key: str | None = None
    ) -> BankFile:
        """Stand for a file that another person brought, after looking at it."""
        body = present({"sha256": sha256, "code": code})
        return self._post(BankFile, self._path(id, "release"), body, idempotency_key)

    def refuse(self, id: str, *, idempotency_key: str | None = None) -> BankFile:
        """Refuse a file that was brought, or take it back."""
        return self._post(BankFile, self._path(id, "refuse"), {}, idempotency_key)

    def list(
        self,
        *,
        way: Literal["in", "out"] | None = None,
        status: str | None = None,
        bank_account: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankFile]:
        """The files, newest first."""
        wanted = {"way": way, "status": status, "bank_account": bank_account}
        return self._list(self.root, BankFile, {**wanted, **options})

    def content(self, id: str) -> bytes:
        """A file's bytes."""
        return self._transport.request("GET", join(self.root, id, "content"), query={})


class BankPayments(Retrievable[BankPayment]):
    """Orders to banks."""

    root = "/v1/bank_payments"
    kind = BankPayment

    def list(
        self,
        *,
        payout: str | None = None,
        file: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankPayment]:
        """The orders, newest first."""
        wanted = {"payout": payout, "file": file, "status": status}
        return self._list(self.root, BankPayment, {**wanted, **options})


class BankStatements(Retrievable[BankStatement]):
    """What banks say moved; the operator's."""

    root = "/v1/bank_statements"
    kind = BankStatement

    def list(
        self,
        *,
        bank_account: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankStatement]:
        """The statements, newest first."""
        wanted = {"bank_account": bank_account, "status": status}
        return self._list(self.root, BankStatement, {**wanted, **options})


class BankLines(Retrievable[BankLine]):
    """Lines of statements: an account's own, or all for the operator."""

    root = "/v1/bank_lines"
    kind = BankLine

    def assign(
        self, id: str, *, account: str, note: str | None = None, idempotency_key: str | None = None
    ) -> BankLine:
        """Say whose the money of a line in suspense is; another person confirms it."""
        body = present({"account": account, "note": note})
        return self._post(BankLine, self._path(id, "assign"), body, idempotency_key)

    def confirm(
        self, id: str, *, digest: str, code: str | None = None, idempotency_key: str | None = None
    ) -> BankLine:
        """Confirm what another person said of a line, as it was shown."""
        body = present({"digest": digest, "code": code})
        return self._post(BankLine, self._path(id, "confirm"), body, idempotency_key)

    def decline(self, id: str, *, idempotency_key: str | None = None) -> BankLine:
        """Refuse what was proposed of a line, or take it back."""
        return self._post(BankLine, self._path(id, "decline"), {}, idempotency_key)

    def list(
        self,
        *,
        bank_account: str | None = None,
        statement: str | None = None,
        status: str | None = None,
        outcome: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankLine]:
        """The lines, newest first."""
        wanted = {
            "bank_account": bank_account,
            "statement": statement,
            "status": status,
            "outcome": outcome,
        }
        return self._list(self.root, BankLine, {**wanted, **options})


class BankReturns(Retrievable[BankReturn]):
    """Money in suspense that goes back to its sender, by two people; the operator's."""

    root = "/v1/bank_returns"
    kind = BankReturn

    def create(
        self,
        *,
        line: str,
        note: str | None = None,
        fee_max: int | None = None,
        holder: str | None = None,
        iban: str | None = None,
        bic: str | None = None,
        country: str | None = None,
        number: str | None = None,
        bank_code: str | None = None,
        idempotency_key: str | None = None,
    ) -> BankReturn:
        """Propose to send a line's money back; an account only where the line names none."""
        body = present(
            {
                "line": line,
                "note": note,
                "fee_max": fee_max,
                "holder": holder,
                "iban": iban,
                "bic": bic,
                "country": country,
                "number": number,
                "bank_code": bank_code,
            }
        )
        return self._post(BankReturn, self.root, body, idempotency_key)

    def confirm(
        self, id: str, *, digest: str, code: str | None = None, idempotency_key: str | None = None
    ) -> BankReturn:
        """Confirm what another person proposed, as it was shown."""
        body = present({"digest": digest, "code": code})
        return self._post(BankReturn, self._path(id, "confirm"), body, idempotency_key)

    def decline(self, id: str, *, idempotency_key: str | None = None) -> BankReturn:
        """Refuse what was proposed, or take it back."""
        return self._post(BankReturn, self._path(id, "decline"), {}, idempotency_key)

    def list(
        self,
        *,
        line: str | None = None,
        bank_account: str | None = None,
        status: str | None = None,
        **options: Unpack[ListOptions],
    ) -> Page[BankReturn]:
        """The returns, newest first."""
        wanted = {"line": line, "bank_account": bank_account, "status": status}
        return self._list(self.root, BankReturn, {**wanted, **options})
