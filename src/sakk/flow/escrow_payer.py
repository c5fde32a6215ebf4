"""Payers of channels in x402's escrow, who have no account here: answered by what they sign."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sakk.core import escrow_payer as rules
from sakk.core.dispute import Dispute, Outcome
from sakk.core.eip712 import digest, signer
from sakk.core.errors import ParameterInvalid, ResourceMissing, SignatureInvalid
from sakk.core.escrow_channel import EscrowChannel
from sakk.core.evm import checksum_address
from sakk.core.session import deadline_fault
from sakk.flow import charge_refund, escrow_receipt
from sakk.flow import dispute as disputes
from sakk.flow.context import Parts
from sakk.flow.session import network_of
from sakk.flow.voucher import Vouchers
from sakk.ledger.voucher import kept_vouchers
from sakk.store import dispute as dispute_store
from sakk.store import escrow_channel as store

DISPUTES_SHOWN: Final = 20

Document = dict[str, Any]


def read_signed(
    parts: Parts, kind: str, message: Mapping[str, Any], signature: str
) -> EscrowChannel:
    """The channel that a signed message is about, whose payer signed it.

    ParameterInvalid for another installation or a time that is over, SignatureInvalid where another
    key signed, ResourceMissing where the signer has no such channel with a final deposit.
    """
    with parts.database.read() as connection:
        own = network_of(connection)
    if message["network"] != own:
        raise ParameterInvalid(f"This is {own}. Sign for it.", param="network")
    fault = deadline_fault(int(message["deadline"]), parts.clock())
    if fault is not None:
        raise ParameterInvalid(fault, param="deadline")
    try:
        by = signer(rules.typed_data(kind, message), signature)
    except ValueError:
        by = ""
    if by != message["signer"]:
        raise SignatureInvalid("This is not signed by the signer that it names.", param="signature")
    with parts.database.read() as connection:
        found = store.open_channels(connection, names=[message["channel"]], identifiers=[])
    for channel in found:
        if rules.may_ask(channel, by):
            return channel
    raise ResourceMissing(f"{by} pays no channel {message['channel']}.", param="channel")


def standing(parts: Parts, channel: EscrowChannel) -> Document:
    """Where a channel stands by the ledger, with the highest voucher that is kept here."""
    totals = Vouchers(parts).totals(channel)
    kept = kept_vouchers(parts.books.ledger, parts.database, [channel.id]).get(channel.id)
    with parts.database.read() as connection:
        opened = dispute_store.list_of_channel(connection, channel.id, limit=DISPUTES_SHOWN)
    voucher = None
    if kept is not None:
        voucher = {"signedMaxClaimable": str(kept[0]), "signature": "0x" + kept[1].hex()}
    shown = [rules.told(each) for each in opened]
    return rules.standing(channel, totals) | {"voucher": voucher, "disputes": shown}


def open_dispute(
    parts: Parts, channel: EscrowChannel, message: Mapping[str, Any], signature: str
) -> Dispute:
    """Dispute a charge, by a message that its payer signed; the same again is the same dispute."""
    signed = rules.typed_data("Dispute", message)
    identifier = rules.dispute_id(digest(signed), int(message["deadline"]))
    return disputes.create_of_voucher(
        parts,
        channel,
        charge_refund.charge_named(parts, channel, int(message["ceiling"])),
        identifier=identifier,
        payer=checksum_address(channel.payer),
        reason=message["reason"],
        amount=int(message["amount"]) or None,
        signed={"message": dict(message), "signature": signature},
    )


def withdraw_dispute(parts: Parts, channel: EscrowChannel, dispute_id: str) -> Dispute:
    """The payer takes a dispute back; again it is the same."""
    with parts.database.read() as connection:
        found = dispute_store.find(connection, dispute_id)
    if found is None or found.channel_id != channel.id:
        raise ResourceMissing(f"No such dispute: {dispute_id!r}.", param="dispute")
    return disputes.resolve(parts, channel, dispute_id, Outcome.withdraw, note=None)


def receipts(parts: Parts, channel: EscrowChannel) -> Iterator[bytes]:
    """All of the channel's receipts as its payee exports them; ``sakk.client.escrow_receipt``."""
    return escrow_receipt.export(parts.database, parts.secrets_vault(), channel, form="jsonl")
