"""Escrow channels: what a payer has deposited in the contract for one account here, and signed for.

Two accounts in the ledger hold it: ``channel:<id>:deposit`` what is deposited and not signed for,
``channel:<id>`` what is signed for and not charged. Neither can be overdrawn, so the ledger itself
keeps every charge within the deposit and within the highest voucher. All that was ever credited to
the second is the highest signed total, all that was debited the charged one: cumulative amounts
as on the chain, from the first deposit on. Atomic units are the currency's smallest units here: an
asset with more decimals than its currency has no channels.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sakk.core import chart, ids
from sakk.core.caip import chain_id
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.escrow import AMOUNT_MAX, ChannelConfig, ChannelState
from sakk.core.evm import checksum_address
from sakk.core.ledger import transfer_id
from sakk.core.posting import Posting

PREFIX: Final = "ech"
SCHEME: Final = "batch-settlement"
# Under so many ids one voucher is presented to the ledger at most: it takes another after each
# refusal, and after each charge that was released.
ATTEMPTS_MAX: Final = 100
TIMEOUT_SECONDS_DEFAULT: Final = 60
TIMEOUT_SECONDS_MAX: Final = 3_600
# A channel's own way out is asked for, and the voucher redeemed, well before it ends.
WITHDRAW_DELAY_SECONDS: Final = 86_400
# Of the 128 bits that a charge's end carries: those of the voucher's total. The rest: the attempt.
_CEILING_BITS: Final = 121


class ChannelStatus(StrEnum):
    """``opening``: no deposit is final yet. ``withdrawing``: its payer is leaving on the chain."""

    opening = "opening"
    open = "open"
    withdrawing = "withdrawing"


class Refusal(StrEnum):
    """Why a voucher is refused: x402's codes, which official clients know. Never renamed."""

    amount_mismatch = "invalid_batch_settlement_evm_cumulative_amount_mismatch"
    below_claimed = "invalid_batch_settlement_evm_cumulative_below_claimed"
    exceeds_balance = "invalid_batch_settlement_evm_cumulative_exceeds_balance"
    not_found = "invalid_batch_settlement_evm_channel_not_found"
    id_mismatch = "invalid_batch_settlement_evm_channel_id_mismatch"
    id_invalid = "invalid_batch_settlement_evm_channel_id_invalid"
    busy = "invalid_batch_settlement_evm_channel_busy"
    signature = "invalid_batch_settlement_evm_voucher_signature"
    payload = "invalid_batch_settlement_evm_voucher_payload"
    payload_type = "invalid_batch_settlement_evm_payload_type"
    receiver_mismatch = "invalid_batch_settlement_evm_receiver_mismatch"
    authorizer_mismatch = "invalid_batch_settlement_evm_receiver_authorizer_mismatch"
    token_mismatch = "invalid_batch_settlement_evm_token_mismatch"  # noqa: S105
    delay_mismatch = "invalid_batch_settlement_evm_withdraw_delay_mismatch"
    delay_range = "invalid_batch_settlement_evm_withdraw_delay_out_of_range"
    charge_exceeds = "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative"
    missing_channel = "invalid_batch_settlement_evm_missing_channel"
    no_balance = "invalid_batch_settlement_evm_refund_no_balance"
    refund_amount = "invalid_batch_settlement_evm_refund_amount_invalid"
    erc3009_required = "invalid_batch_settlement_evm_erc3009_authorization_required"
    permit2_spender = "invalid_batch_settlement_evm_permit2_invalid_spender"
    permit2_amount = "invalid_batch_settlement_evm_permit2_amount_mismatch"
    permit2_signature = "invalid_batch_settlement_evm_permit2_invalid_signature"
    permit2_expired = "invalid_batch_settlement_evm_permit2_deadline_expired"
    permit2_allowance = "invalid_batch_settlement_evm_permit2_allowance_required"


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowChannel:
    """A row. ``account_id``: the payee. ``channel``: its name on the chain, 0x-hex of 32 bytes.

    ``redeemed``: the total that is claimed and paid, finally. ``withdraw_units`` and
    ``withdraw_ends_at``: what its payer asked back on the chain, and from when on it may take it.
    ``lost``: what was charged or signed for and is on the chain no more: its payee's loss.
    ``gone_units``: what the contract lacks and the books are about to follow, ``attempt`` how often
    that was. ``looked_at``: when the contract was last asked.
    """

    id: str
    account_id: str
    livemode: bool
    network: str
    asset: str
    currency: str
    channel: str
    payer: str
    payer_authorizer: str
    receiver: str
    receiver_authorizer: str
    token: str
    withdraw_delay: int
    salt: bytes
    status: str
    redeemed: int = 0
    withdraw_units: int = 0
    lost: int = 0
    gone_units: int = 0
    withdraw_ends_at: datetime | None = None
    looked_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime

    @property
    def config(self) -> ChannelConfig:
        return ChannelConfig(
            payer=self.payer,
            payer_authorizer=self.payer_authorizer,
            receiver=self.receiver,
            receiver_authorizer=self.receiver_authorizer,
            token=self.token,
            withdraw_delay=self.withdraw_delay,
            salt=self.salt,
        )

    @property
    def unit(self) -> str:
        return chart.currency_unit(self.currency, livemode=self.livemode)

    @property
    def chain_id(self) -> int:
        return chain_id(self.network)

    @property
    def number(self) -> int:
        """Its id as the ledger's transfers carry it."""
        return ids.decode(self.id)[1]

    @property
    def deposit_account(self) -> LedgerAccount:
        return chart.channel(f"{self.id}:deposit", self.unit)

    @property
    def unsigned_account(self) -> LedgerAccount:
        """Where what was signed for and not charged passes through on its way back."""
        return chart.channel(f"{self.id}:unsigned", self.unit)

    @property
    def refunded_account(self) -> LedgerAccount:
        """Where what was charged and is given back passes through on its way back."""
        return chart.channel(f"{self.id}:refunded", self.unit)

    @property
    def leaving_account(self) -> LedgerAccount:
        """What is on its way back to the payer."""
        return chart.channel(f"{self.id}:leaving", self.unit)

    @property
    def signed_account(self) -> LedgerAccount:
        return chart.channel(self.id, self.unit)

    @property
    def incoming(self) -> LedgerAccount:
        return chart.merchant(self.account_id, "incoming", self.unit)

    @property
    def available(self) -> LedgerAccount:
        return chart.merchant(self.account_id, "available", self.unit)


class Totals(NamedTuple):
    """What the ledger says of a channel: cumulative but for ``deposit`` and ``reserved``.

    ``signed``: the highest total that vouchers allow; ``charged``; ``reserved``: by calls that are
    being served; ``deposit``: what may still be signed for. ``unsigned``: what was signed for, not
    charged, and went back to the deposit, so far: it is in none of the others. What was charged and
    given back is not charged any more.
    """

    signed: int
    charged: int
    reserved: int
    deposit: int
    unsigned: int = 0

    @property
    def base(self) -> int:
        """All that was ever signed for: it only grows, and each raise is from one of its values."""
        return self.signed + self.unsigned

    @property
    def free(self) -> int:
        """What may go back: all that is neither charged nor being served."""
        return self.balance - self.charged - self.reserved

    @property
    def balance(self) -> int:
        """What the contract holds for the channel or paid out of it, less what went back."""
        return self.signed + self.deposit

    def after(self, rise: int, amount: int) -> "Totals":
        """The totals once a voucher has raised what is signed, and its call is reserved."""
        return self._replace(
            signed=self.signed + rise,
            reserved=self.reserved + amount,
            deposit=self.deposit - rise,
        )

    def ended(self, reserved: int, used: int) -> "Totals":
        """The totals once so much of what was reserved for a call is charged, and no more."""
        return self._replace(charged=self.charged + used, reserved=self.reserved - reserved)


def judge(totals: Totals, *, ceiling: int, amount: int) -> int | Refusal:
    """By how much a voucher for the total ``ceiling`` raises what is signed, to charge ``amount``.

    What is charged and reserved never exceeds the highest total that was signed. A voucher that is
    not above what the channel has used up can not pay: its payer is told where the channel stands.
    """
    if not 0 < ceiling <= AMOUNT_MAX or amount <= 0:
        return Refusal.payload
    if ceiling > totals.balance:
        return Refusal.exceeds_balance
    if totals.charged + totals.reserved + amount > max(totals.signed, ceiling):
        return Refusal.amount_mismatch
    return max(0, ceiling - totals.signed)


def raise_id(channel: EscrowChannel, base: int, attempt: int) -> int:
    """The ledger's id of the raise from a base (`Totals.base`): of two from one, one stands."""
    return transfer_id(channel.id, f"raise:{base}", leg=0, attempt=attempt)


def charge_id(channel: EscrowChannel, ceiling: int, attempt: int, step: str = "reserve") -> int:
    """The ledger's id of the charge by a voucher, or of its end (``commit``, ``release``)."""
    return transfer_id(channel.id, f"voucher:{ceiling}:{step}", leg=0, attempt=attempt)


def voucher_data(ceiling: int, attempt: int) -> int:
    """A commit's user data: which voucher paid it; 0 where that does not fit, as no token needs."""
    if ceiling >> _CEILING_BITS or attempt >> (128 - _CEILING_BITS):
        return 0
    return attempt << _CEILING_BITS | ceiling


def read_voucher_data(user_data: int) -> tuple[int, int]:
    """The ceiling and the attempt that `voucher_data` put there."""
    return user_data & ((1 << _CEILING_BITS) - 1), user_data >> _CEILING_BITS


def charge_name(channel: EscrowChannel, ceiling: int, attempt: int) -> str:
    """How a door names a charge: ``ech_…:1000:0``."""
    return f"{channel.id}:{ceiling}:{attempt}"


def parse_charge_name(name: str) -> tuple[str, int, int]:
    """The channel's id, the voucher's total and the attempt in a name; ValueError."""
    identifier, ceiling, attempt = name.split(":")
    prefix, _ = ids.decode(identifier)
    if prefix != PREFIX or not ceiling.isdecimal() or not attempt.isdecimal():
        raise ValueError("not the name of a charge by voucher")
    return identifier, int(ceiling), int(attempt)


def deposit_postings(channel: EscrowChannel, units: int) -> list[Posting]:
    """A final deposit: coins in the escrow, owed to the channel."""
    return [
        Posting(
            chart.escrow(channel.asset),
            chart.conversion_asset(channel.asset),
            units,
            TransferCode.escrow_deposited,
        ),
        Posting(
            chart.conversion_currency(channel.asset, channel.unit),
            channel.deposit_account,
            units,
            TransferCode.channel_funded,
        ),
    ]


def taken_posting(source: LedgerAccount, channel: EscrowChannel, units: int) -> Posting:
    """What nobody was promised of coins that are gone; the ledger knows how much that is."""
    owed = chart.conversion_currency(channel.asset, channel.unit)
    return Posting(source, owed, units, TransferCode.escrow_withdrawn)


def gone_postings(channel: EscrowChannel, units: int, *, taken: int) -> list[Posting]:
    """Coins of a channel that are in the escrow no more, and were not claimed.

    The payer took them, or its deposit left the chain. Beyond what was ``taken`` back of what
    nobody was promised they had been charged or signed for: the payee's loss, which is not paid out
    of anybody else's coins.
    """
    legs = [returned_posting(channel, units)]
    if units > taken:
        lost = chart.receivable(channel.account_id, channel.unit)
        owed = chart.conversion_currency(channel.asset, channel.unit)
        legs.append(Posting(lost, owed, units - taken, TransferCode.escrow_withdrawn))
    return legs


def gone_step(channel: EscrowChannel) -> str:
    """The step under which the loss that its row tells of is booked."""
    return f"gone:{channel.attempt}"


def unsigning_postings(channel: EscrowChannel, units: int) -> list[Posting]:
    """What was signed for and not charged may be signed for again: at most so much, in one set."""
    return [
        Posting(
            channel.signed_account, channel.unsigned_account, units, TransferCode.channel_closed
        ),
        Posting(
            channel.unsigned_account, channel.deposit_account, units, TransferCode.channel_funded
        ),
    ]


def uncharging_postings(channel: EscrowChannel, units: int) -> list[Posting]:
    """A charge that is not claimed yet is given back, or a part: the payer may spend it again."""
    back = channel.refunded_account
    code = TransferCode.channel_refunded
    return [
        Posting(channel.incoming, back, units, code),
        Posting(back, channel.signed_account, units, code),
    ]


def disputed_posting(channel: EscrowChannel, units: int) -> Posting:
    """What is disputed is held on the payee's balance; it is never posted, but let go of."""
    return Posting(
        channel.available, channel.refunded_account, units, TransferCode.channel_refunded
    )


def unclaimed(totals: Totals, *, giving_back: int, claimed: int) -> int:
    """Of what is charged, how much nobody has claimed, or is about to.

    ``giving_back``: what refunds take that are not booked yet. ``claimed``: up to where the chain
    was, or is being, asked to pay.
    """
    return max(0, totals.charged - giving_back - claimed)


def leaving_posting(channel: EscrowChannel, units: int) -> Posting:
    """What is about to go back to the payer is set aside: nothing more is signed for from it."""
    return Posting(
        channel.deposit_account, channel.leaving_account, units, TransferCode.channel_closed
    )


def staying_posting(channel: EscrowChannel, units: int) -> Posting:
    """It did not go back after all."""
    return Posting(
        channel.leaving_account, channel.deposit_account, units, TransferCode.channel_funded
    )


def refund_postings(channel: EscrowChannel, units: int) -> list[Posting]:
    """What was set aside has gone back, finally."""
    owed = chart.conversion_currency(channel.asset, channel.unit)
    left = Posting(channel.leaving_account, owed, units, TransferCode.escrow_withdrawn)
    return [returned_posting(channel, units), left]


def returned_posting(channel: EscrowChannel, units: int) -> Posting:
    """The coins themselves, which are in the escrow no more."""
    return Posting(
        chart.conversion_asset(channel.asset),
        chart.escrow(channel.asset),
        units,
        TransferCode.escrow_withdrawn,
    )


def withdraw_begun(channel: EscrowChannel) -> int:
    """When its payer began to withdraw, in seconds since 1970; 0 where it did not."""
    ends = channel.withdraw_ends_at
    return 0 if ends is None else int(ends.timestamp()) - channel.withdraw_delay


def state_extra(
    channel: EscrowChannel, totals: Totals, *, charged: int | None, refund_nonce: int = 0
) -> dict[str, Any]:
    """``channelState`` of x402's answers by our books; ``charged``: what it says of that."""
    found: dict[str, Any] = {
        "channelId": channel.channel,
        "balance": str(totals.balance),
        "totalClaimed": str(channel.redeemed),
        "withdrawRequestedAt": withdraw_begun(channel),
        "refundNonce": str(refund_nonce),
    }
    if charged is not None:
        found["chargedCumulativeAmount"] = str(charged)
    return found


def chain_extra(name: str, state: ChannelState) -> dict[str, Any]:
    """The same of what the contract itself says."""
    return {
        "channelId": name,
        "balance": str(state.balance),
        "totalClaimed": str(state.total_claimed),
        "withdrawRequestedAt": state.withdraw_begun,
        "refundNonce": str(state.refund_nonce),
    }


def public(channel: EscrowChannel, totals: Totals) -> dict[str, Any]:
    """The API's object ``escrow_channel``."""
    ends = channel.withdraw_ends_at
    return {
        "id": channel.id,
        "object": "escrow_channel",
        "asset": channel.asset,
        "balance": totals.balance,
        "channel": channel.channel,
        "charged": totals.charged,
        "created": int(channel.created.timestamp()),
        "currency": channel.currency,
        "deposit": totals.deposit,
        "livemode": channel.livemode,
        "metadata": {},
        "network": channel.network,
        "payer": checksum_address(channel.payer),
        "receiver": checksum_address(channel.receiver),
        "redeemed": channel.redeemed,
        "reserved": totals.reserved,
        "signed": totals.signed,
        "status": channel.status,
        "withdraw_ends_at": None if ends is None else int(ends.timestamp()),
    }
