"""Wallet proofs: a test transfer is asked for, and the watcher's pay-in answers it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import wallet_proof as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.payin import PayIn
from sakk.core.wallet_proof import WalletProof, WalletProofStatus
from sakk.flow import payment
from sakk.flow.beneficiary import missing, prove
from sakk.flow.context import Parts
from sakk.flow.payment import Catalogue, PaymentRequest
from sakk.flow.stage import Stage
from sakk.flow.travel_rule import refresh
from sakk.store import beneficiary as beneficiaries
from sakk.store import event as events
from sakk.store import wallet_proof as store
from sakk.store.database import fetch, update_records

BATCH_MAX: Final = 100
IDLE_SECONDS: Final = 2.0
# What was sent in time may become final a while later.
FINALITY: Final = timedelta(hours=1)
DESCRIPTION: Final = "A test transfer that shows whose a wallet is"


def create(
    connection: Connection,
    catalogue: Catalogue,
    beneficiary: str,
    *,
    currency: str,
    seconds: int | None,
    identifier: str,
    intent: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> WalletProof:
    """Ask for a small, named amount from a beneficiary's address, to a fresh address of ours.

    What comes is a payment to the account, whatever it proves. Raises ResourceMissing and
    ParameterInvalid.
    """
    entry = beneficiaries.find(connection, beneficiary, account_id=account_id, livemode=livemode)
    if entry is None or entry.deleted:
        raise missing(beneficiary)
    priced_in = catalogue.currencies.get(currency)
    if priced_in is None:
        raise ParameterInvalid(
            f"There is no currency {currency!r}. GET /v1/currencies lists them.", param="currency"
        )
    time = rules.TIME_DEFAULT if seconds is None else timedelta(seconds=seconds)
    proof = WalletProof(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        beneficiary=entry.id,
        address=entry.address,
        payment_intent=intent,
        amount=rules.named_amount(identifier, priced_in.decimals),
        currency=currency,
        status=WalletProofStatus.open.value,
        payin=None,
        expires_at=now + time,
        created=now,
    )
    payment.create(
        connection,
        catalogue,
        PaymentRequest(
            amount=proof.amount,
            currency=currency,
            networks=[each for each in entry.networks if each in catalogue.networks],
            description=DESCRIPTION,
            metadata={"wallet_proof": identifier},
            expires_at=proof.expires_at,
        ),
        identifier=intent,
        account_id=account_id,
        livemode=livemode,
        now=now,
        request_id=request_id,
    )
    store.insert(connection, proof)
    _tell(connection, proof, event.WALLET_PROOF_CREATED, now=now)
    return proof


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> WalletProof:
    """A proof that was asked for; ResourceMissing."""
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if found is None:
        raise ResourceMissing(f"No such wallet proof: {identifier!r}", param="id")
    return found


def wallet_proof_stage(parts: Parts) -> Stage:
    """The stage that looks for the transfers that were asked for, and for those that never came."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            waiting = fetch(connection, store.awaited, limit=BATCH_MAX)
            if not waiting:
                return 0
            intents = [each.payment_intent for each in waiting]
            named = store.named_units(connection, intents)
            came: dict[str, list[PayIn]] = {}
            for payin in store.final_payins(connection, intents):
                if payin.token_amount == named.get((payin.payment_intent or "", payin.asset)):
                    came.setdefault(payin.payment_intent or "", []).append(payin)
            done = [
                after
                for proof in waiting
                if (after := _after(proof, came.get(proof.payment_intent, []), now)) is not proof
            ]
            fields = ("id", "status", "payin")
            update_records(
                connection,
                store.wallet_proofs,
                [{name: getattr(each, name) for name in fields} for each in done],
            )
            for proof in done:
                _follow(connection, parts, proof, came, now=now)
        return len(done)

    return Stage("wallet_proof", run, idle_seconds=IDLE_SECONDS, due=(store.awaited,))


def _after(proof: WalletProof, came: list[PayIn], now: datetime) -> WalletProof:
    """The proof as transfers of its amount leave it: by their sender and their block's time."""
    for payin in came:
        in_time = payin.block_timestamp <= int(proof.expires_at.timestamp())
        if in_time and payin.sender == proof.address:
            return replace(proof, status=WalletProofStatus.proved.value, payin=payin.id)
    if now > proof.expires_at + FINALITY:
        return replace(proof, status=WalletProofStatus.expired.value)
    return proof


def _follow(
    connection: Connection,
    parts: Parts,
    proof: WalletProof,
    came: dict[str, list[PayIn]],
    *,
    now: datetime,
) -> None:
    if proof.status == WalletProofStatus.expired:
        _tell(connection, proof, event.WALLET_PROOF_EXPIRED, now=now)
        return
    [payin] = [each for each in came[proof.payment_intent] if each.id == proof.payin]
    ownership = {"type": "transfer", "payin": payin.id, "tx_hash": payin.tx_hash}
    prove(
        connection,
        proof.beneficiary,
        ownership,
        account_id=proof.account_id,
        livemode=proof.livemode,
        now=now,
    )
    _tell(connection, proof, event.WALLET_PROOF_PROVED, now=now)
    if parts.vault is not None:
        refresh(
            connection,
            parts.vault,
            account_id=proof.account_id,
            livemode=proof.livemode,
            now=now,
            address=proof.address,
        )


def _tell(connection: Connection, proof: WalletProof, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=proof.account_id,
        livemode=proof.livemode,
        type=name,
        object_id=proof.id,
        object=public(proof),
    )
    events.append(connection, [told], now=now)


def public(proof: WalletProof) -> dict[str, Any]:
    """The API's object."""
    return rules.public_wallet_proof(proof, payment=None)
