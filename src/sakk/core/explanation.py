"""Explanations: what will be signed for a payout, in words, for the person who approves it.

Addresses are shown whole: who poisons an address book counts on what is left out. When the
transaction is built already, the words are of its bytes, not of the row that asked for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core import abi, caip, evm
from sakk.core.approval import Approvable, Approval, public_approval, standing
from sakk.core.bank_account import BankAccount
from sakk.core.money import format_decimal
from sakk.core.network import Asset, Network
from sakk.core.payout import Payout, approvable
from sakk.core.recovery import Recovery
from sakk.core.treasury import Vault
from sakk.core.withdrawal import Withdrawal

GWEI_DECIMALS = 9
FRACTION_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A transaction that was built for the payout: its bytes, and the signer's words if signed."""

    unsigned: bytes
    sender: str
    explanation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What screening, the policy and people said of it so far.

    ``version``: the number of the policy's version that judged it. ``names``: of persons, by id.
    """

    under_review: bool
    is_judged: bool
    awaiting: bool
    version: int | None
    approvals: Sequence[Approval]
    names: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What else is known of a payout. ``beneficiary``: the entry's name, and since when it stands.

    ``paid_before``: payouts of the account to this address that were made.
    """

    asset: Asset
    network: Network
    native: Asset | None
    treasury: str | None
    beneficiary: tuple[str, datetime] | None
    paid_before: int
    judgement: Judgement
    built: Built | None


def explain(payout: Payout, known: Circumstances) -> dict[str, Any]:
    """The API's object ``explanation``: the words, and what an approver sends back or signs."""
    decoded = None if known.built is None else _decoded(known.built, payout)
    return {
        **explain_sending(
            approvable(payout),
            f"{_movement(payout, known, decoded)}; {_fee(known, decoded)}",
            known.judgement,
            signed=None if known.built is None else known.built.explanation,
        ),
        "warning": _warning(payout, decoded),
        "decoded": decoded is not None,
    }


def explain_sending(
    subject: Approvable, words: str, known: Judgement, *, signed: str | None
) -> dict[str, Any]:
    """The API's object ``explanation`` of anything that people approve, with the policy's words."""
    return {
        "object": "explanation",
        "subject": subject.id,
        # As it was called while payouts alone were explained.
        "payout": subject.id if subject.noun == "payout" else None,
        "text": f"{words}; {_policy(subject, known)}.",
        "warning": None,
        "decoded": False,
        "signed": signed,
        "awaiting_approvals": known.awaiting,
        "approvals": [public_approval(each) for each in known.approvals],
        "digest": subject.digest,
        "message": subject.content.decode(),
        "livemode": subject.livemode,
    }


def withdrawal_words(
    row: Withdrawal, vault: Vault | None, asset: Asset, network: Network, treasury: str | None
) -> str:
    """What a withdrawal moves, and where its vault stands in the operator's own book."""
    book = "A VAULT NO MORE" if vault is None else f"vault {vault.label!r}, {vault.tier}"
    leaving = "the treasury" if treasury is None else f"treasury {evm.checksum_address(treasury)}"
    return (
        f"Send {grouped(row.token_amount, asset.decimals)} {asset.symbol}"
        f" ({_what(asset.contract)} on {network.name}, {network.network})"
        f" to {evm.checksum_address(row.destination)} ({book}), from {leaving};"
        f" {_fee_cap(network)}"
    )


def order_words(payout: Payout, place: BankAccount, paid_before: int) -> str:
    """What a bank is asked to pay, and whose account it is."""
    where = place.iban or f"{place.number} at {place.bank_code or place.bic}"
    return (
        f"Have a bank pay {grouped(payout.amount, payout.decimals)} {payout.currency.upper()}"
        f" to {place.holder!r}, account {where} in {place.country} ({place.id}, here since"
        f" {place.created:%Y-%m-%d}, {_history(paid_before)})"
    )


def recovery_words(row: Recovery, network: Network) -> str:
    """What a recovery moves; the token's name is what the token says of itself."""
    assert row.destination is not None
    contract = caip.erc20_contract(row.asset)
    return (
        f"Send {grouped(row.token_amount, row.decimals)} {row.symbol}"
        f" ({_what(contract)} on {network.name}, {network.network}; {row.source} in the books)"
        f" back from deposit address {evm.checksum_address(row.address)}"
        f" to {evm.checksum_address(row.destination)}, which the payer gave under the claim link;"
        f" {_fee_cap(network)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One payout of a batch that is approved with others, and what is known of whom it pays."""

    payout: Payout
    asset: Asset
    network: Network
    beneficiary: tuple[str, datetime] | None
    paid_before: int


def line_words(line: BatchLine) -> str:
    """What one payout of a batch sends, and to whom."""
    return (
        f"{_sent(line)} to {evm.checksum_address(line.payout.destination)}"
        f" ({_payee(line.beneficiary, line.paid_before)})"
    )


def batch_words(batch: str, lines: Sequence[BatchLine]) -> str:
    """How much of which tokens the payouts of a batch send, to how many, and the largest of each.

    Every line has words of its own; these are what its approver would add up from them.
    """
    if not lines:
        return f"No payout of {batch} waits for your approval."
    by_asset: dict[str, list[BatchLine]] = {}
    for line in lines:
        by_asset.setdefault(line.payout.asset, []).append(line)
    told = []
    for _, members in sorted(by_asset.items()):
        first = members[0]
        units = sum(each.payout.token_amount for each in members)
        largest = max(members, key=lambda each: each.payout.token_amount)
        payees = {each.payout.destination for each in members}
        fresh = {each.payout.destination for each in members if not each.paid_before}
        told.append(
            f"{grouped(units, first.asset.decimals)} {first.asset.symbol}"
            f" ({_what(first.asset.contract)} on {first.network.name}, {first.network.network})"
            f" to {_counted(len(payees), 'address', 'addresses')}, {len(fresh)} of them never paid"
            f" before, the largest {_sent(largest)} to"
            f" {evm.checksum_address(largest.payout.destination)}, {_fee_cap(first.network)}"
        )
    return f"Approve {_counted(len(lines), 'payout', 'payouts')} of {batch}: {'; '.join(told)}."


def _sent(line: BatchLine) -> str:
    return f"{grouped(line.payout.token_amount, line.asset.decimals)} {line.asset.symbol}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _what(contract: str | None) -> str:
    return "native coin" if contract is None else f"token {evm.checksum_address(contract)}"


def _fee_cap(network: Network) -> str:
    most = grouped(network.max_fee_per_gas_max, GWEI_DECIMALS)
    return f"network fee at most {most} gwei for each unit of gas"


def grouped(units: int, decimals: int) -> str:
    """An amount as people read it: ``1,250.00``; never rounded, at least two places if it can."""
    text = format_decimal(units, decimals)
    whole, _, fraction = text.partition(".")
    kept = fraction.rstrip("0").ljust(min(FRACTION_MIN, decimals), "0")
    shown = f"{int(whole):,}"
    return f"{shown}.{kept}" if kept else shown


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the bytes of a transaction do: who gets how many units, and what it may cost in wei."""

    contract: str | None
    destination: str
    units: int
    chain_id: int
    sender: str
    fee_max: int


def _decoded(built: Built, payout: Payout) -> Decoded | None:
    """Read the bytes; None when they are no transfer of one payment."""
    try:
        transaction = evm.decode_unsigned(built.unsigned)
        if transaction.to is None:
            return None
        contract = caip.erc20_contract(payout.asset)
        moved = (
            (transaction.to, transaction.value) if contract is None else _transfer(transaction.data)
        )
    except ValueError:
        return None
    return Decoded(
        contract=None if contract is None else transaction.to,
        destination=moved[0],
        units=moved[1],
        chain_id=transaction.chain_id,
        sender=built.sender,
        fee_max=transaction.gas_limit * transaction.max_fee_per_gas,
    )


def _transfer(data: bytes) -> tuple[str, int]:
    transfer = abi.decode_transfer(data)
    return transfer.to, transfer.amount


def _movement(payout: Payout, known: Circumstances, decoded: Decoded | None) -> str:
    units = payout.token_amount if decoded is None else decoded.units
    destination = payout.destination if decoded is None else decoded.destination
    contract = known.asset.contract if decoded is None else decoded.contract
    source = known.treasury if decoded is None else decoded.sender
    leaving = "the treasury" if source is None else f"treasury {evm.checksum_address(source)}"
    return (
        f"Send {grouped(units, known.asset.decimals)} {known.asset.symbol}"
        f" ({_what(contract)} on {known.network.name}, {known.network.network})"
        f" to {evm.checksum_address(destination)} ({_payee(known.beneficiary, known.paid_before)}),"
        f" from {leaving}"
    )


def _payee(beneficiary: tuple[str, datetime] | None, paid_before: int) -> str:
    return f"{_who(beneficiary)}, {_history(paid_before)}"


def _who(beneficiary: tuple[str, datetime] | None) -> str:
    if beneficiary is None:
        return "not in the address book"
    name, since = beneficiary
    return f"beneficiary {name!r}, in the address book since {since:%Y-%m-%d}"


def _history(paid_before: int) -> str:
    if paid_before == 0:
        return "never paid before"
    return "paid once before" if paid_before == 1 else f"paid {paid_before} times before"


def _fee(known: Circumstances, decoded: Decoded | None) -> str:
    if decoded is None or known.native is None:
        return _fee_cap(known.network)
    cost = grouped(decoded.fee_max, known.native.decimals)
    return f"network fee at most {cost} {known.native.symbol}"


def _policy(subject: Approvable, known: Judgement) -> str:
    if known.under_review:
        return "screening stopped it, compliance decides first"
    if not known.is_judged:
        return "no policy has judged it yet"
    rule = "no rule fits, so it" if subject.rule is None else f"rule {subject.rule!r}"
    by = "no policy is in force, " if known.version is None else f"policy version {known.version}, "
    if not subject.approvals_needed:
        return f"{by}{rule} decided it"
    given = standing(known.approvals, digest=subject.digest, role=subject.approver_role)
    plural = "" if subject.approvals_needed == 1 else "s"
    names = ", ".join(known.names.get(each.actor, each.actor) for each in given)
    return (
        f"{by}{rule} asks for {subject.approvals_needed} approval{plural} of"
        f" {subject.approver_role}, {len(given)} given{f' by {names}' if names else ''}"
    )


def _warning(payout: Payout, decoded: Decoded | None) -> str | None:
    """What the bytes do otherwise than the payout says; None when they agree."""
    if decoded is None:
        return None
    said = (
        caip.erc20_contract(payout.asset),
        payout.destination,
        payout.token_amount,
        caip.chain_id(payout.network),
    )
    done = (decoded.contract, decoded.destination, decoded.units, decoded.chain_id)
    if said == done:
        return None
    return "THE TRANSACTION DOES NOT DO WHAT THE PAYOUT SAYS. Reject it and look into it."
