"""Channels in the escrow of an account on one server, and what their payers sign."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from sakk.client.escrow_payer import EscrowPayer
from sakk.core import ids
from sakk.core.escrow import ChannelConfig, channel_id, voucher_digest
from sakk.core.escrow_channel import PREFIX, EscrowChannel
from sakk.core.ledger import account_id
from sakk.ledger.voucher import highest
from sakk.paywall.voucher import (
    COMMIT,
    RELEASE,
    WHOLE,
    Reserved,
    Voucher,
    asset_tag,
    end_record,
    read_reserved,
    reserve_record,
)
from sakk.store import escrow_channel as store
from sakk.store.identity import new_id, now
from sakk.store.journal import connect, read_journal
from tests.api.paying import RECORDS, call, open_tenant
from tests.api.world import NETWORK, USDC, Api, Tenant, http

TAG = asset_tag(NETWORK, USDC)
CHAIN = 84532


@dataclass(slots=True)
class Escrowed:
    """A payer's channel with an account here."""

    api: Api
    payee: Tenant
    account: LocalAccount
    row: EscrowChannel

    def voucher(self, ceiling: int) -> Voucher:
        name = bytes.fromhex(self.row.channel[2:])
        digest = voucher_digest(name, ceiling, CHAIN)
        signed = self.account.unsafe_sign_hash(Hash32(digest))
        return Voucher(name, ceiling, bytes(signed.signature))

    def record(
        self, ceiling: int, amount: int = 1_000, *, tag: bytes = TAG, seconds: int = 60
    ) -> bytes:
        record = reserve_record(self.voucher(ceiling), amount, tag, seconds)
        assert record is not None
        return record

    def end(self, ceiling: int, reserved: Reserved, amount: int = WHOLE) -> bytes:
        step = COMMIT if amount else RELEASE
        return end_record(step, self.voucher(ceiling), reserved, amount)

    def ask(self, *records: bytes, door: str | None = None) -> list[Reserved]:
        """What the payee's door is told, in records."""
        headers = RECORDS | {"Authorization": f"Bearer {self.payee.key}"}
        url = f"{door or self.api.door}/v1/charges"
        answer = http().post(url, headers=headers, content=b"".join(records))
        assert answer.status_code == 200, answer.text
        body = answer.content
        return [read_reserved(body[at : at + 96]) for at in range(0, len(body), 96)]

    def ask_at_length(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """The same in JSON."""
        found = call(self.api, self.payee, "POST", "/v1/charges", {"operations": list(operations)})
        return list(found["results"])

    def at_length(self, ceiling: int, amount: int = 1_000, **changed: Any) -> dict[str, Any]:
        voucher = self.voucher(ceiling)
        wire = {
            "channelId": voucher.channel_id,
            "maxClaimableAmount": str(ceiling),
            "signature": "0x" + voucher.signature.hex(),
        }
        return {
            "op": "voucher",
            "network": NETWORK,
            "asset": USDC,
            "amount": str(amount),
            "payload": {"type": "voucher", "voucher": wire},
            **changed,
        }

    def kept(self) -> int:
        """The highest total whose voucher is written down."""
        with self.api.database.read() as connection:
            rows = store.vouchers_of(connection, [self.row.id])
        with connect(self.api.database.url) as driver:
            journal = highest(row.payload for row in read_journal(driver, 0))
        number = ids.decode(self.row.id)[1].to_bytes(16, "big")
        return max(rows.get(self.row.id, (0, b""))[0], journal.get(number, (0, b""))[0])

    def books(self) -> dict[str, int]:
        """What is not signed for, signed and not charged, reserved, and the payee's."""
        names = {
            "deposit": self.row.deposit_account,
            "signed": self.row.signed_account,
            "payee": self.row.incoming,
        }
        found: dict[str, int] = {}
        for name, account in names.items():
            each = http().get(
                f"{self.api.url}/v1/ledger/accounts/{account_id(account.name):032x}",
                headers={"Authorization": f"Bearer {self.api.world.operator.key}"},
            )
            document = each.json() if each.status_code == 200 else {}
            found[name] = int(document.get("credits_posted", 0)) - int(
                document.get("debits_posted", 0)
            )
            if name == "signed":
                found["reserved"] = int(document.get("debits_pending", 0))
        return found


def open_escrow(api: Api, units: int = 50_000, *, payee: Tenant | None = None) -> Escrowed:
    """A fresh channel with a deposit, of a payee of its own."""
    payee = payee or open_tenant(api, "seller")
    account = Account.from_key("0x" + secrets.token_hex(32))
    address = str(account.address).lower()
    config = ChannelConfig(
        payer=address,
        payer_authorizer=address,
        receiver="0x" + secrets.token_hex(20),
        receiver_authorizer="0x" + "77" * 20,
        token=USDC,
        withdraw_delay=86_400,
        salt=secrets.token_bytes(32),
    )
    row = EscrowChannel(
        id=new_id(PREFIX),
        account_id=payee.account,
        livemode=False,
        network=NETWORK,
        asset=f"{NETWORK}/erc20:{USDC}",
        currency="usdc",
        channel="0x" + channel_id(config, CHAIN).hex(),
        payer=config.payer,
        payer_authorizer=config.payer_authorizer,
        receiver=config.receiver,
        receiver_authorizer=config.receiver_authorizer,
        token=USDC,
        withdraw_delay=config.withdraw_delay,
        salt=config.salt,
        status="open",
        created=now(),
    )
    with api.database.begin() as connection:
        assert store.insert_channel(connection, row)
    call(api, payee, "POST", "/v1/probes/deposit", {"channel": row.id, "amount": units})
    return Escrowed(api, payee, account, row)


def create_escrow_objects(api: Api) -> dict[str, str]:
    """A channel in escrow of which Alice is the payee, with a refund."""
    channel = open_escrow(api, payee=api.world.alice)
    path = f"/v1/escrow_channels/{channel.row.id}/refunds"
    call(api, api.world.alice, "POST", path, {"amount": 1_000})
    [reserved] = channel.ask(channel.record(1_000))
    channel.ask(channel.end(1_000, reserved))
    with EscrowPayer(api.url, bytes(channel.account.key)) as payer:
        dispute = payer.dispute(channel.row.channel, 1_000, "The answer was empty.")
    return {"escrow_channel": channel.row.id, "escrow_dispute": dispute["id"]}


@contextmanager
def conserved(channels: list[Escrowed]) -> Iterator[None]:
    """Whatever happens: what the channel and its payee have together stays the same."""

    def sums() -> list[int]:
        found = [each.books() for each in channels]
        return [each["deposit"] + each["signed"] + each["payee"] for each in found]

    before = sums()
    yield
    assert sums() == before
