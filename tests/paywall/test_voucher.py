"""The door's records of vouchers are those that the authority reads, and its way with deposits."""

import json
from typing import Any

from sakk.core.escrow_channel import Refusal
from sakk.core.voucher import (
    REFUSALS,
    VoucherOp,
    VoucherOperation,
    VoucherResult,
    encode_voucher_result,
    read_operation,
    status_of,
)
from sakk.core.voucher import asset_tag as tag_of
from sakk.paywall import Paywall, Route
from sakk.paywall.escrow import Escrow
from sakk.paywall.facilitator import Declined
from sakk.paywall.voucher import (
    MISMATCH,
    REASONS,
    STATUS_MISMATCH,
    Reserved,
    Voucher,
    asset_tag,
    end_record,
    read_reserved,
    release_of,
    reserve_record,
)

from .conftest import NETWORK, PAY_TO, USDC, Counter, Reply, ask, paid, run

VOUCHER = Voucher(bytes(range(32)), 5_000, bytes(range(65)))
TOKEN = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


def test_both_sides_say_the_same() -> None:
    assert {status_of(each): each.value for each in REFUSALS} == REASONS
    assert status_of(Refusal.amount_mismatch) == STATUS_MISMATCH
    assert Refusal.amount_mismatch.value == MISMATCH
    tag = asset_tag("eip155:8453", TOKEN)
    assert tag == tag_of(f"eip155:8453/erc20:{TOKEN.lower()}")
    record = reserve_record(VOUCHER, 1_000, tag, 300)
    assert record is not None
    assert read_operation(record) == VoucherOperation(
        VoucherOp.reserve, VOUCHER.channel, 5_000, 1_000, 0, 300, tag, VOUCHER.signature
    )
    told = VoucherResult(0, 3, b"\xaa" * 20, 1_000, 9_000, 200, 7, b"\xbb" * 16)
    result = encode_voucher_result(told)
    reserved = read_reserved(result)
    assert reserved == Reserved(None, "0x" + "aa" * 20, 9_000, 200, 7, b"\xbb" * 16, 3)
    commit = VoucherOperation(VoucherOp.commit, b"\xbb" * 16, 5_000, 400, 3)
    assert read_operation(end_record(VoucherOp.commit, VOUCHER, reserved, 400)) == commit
    release = release_of(record, result)
    assert release is not None
    expected = commit._replace(op=VoucherOp.release, amount=0)
    assert read_operation(release) == expected
    assert release_of(b"\1" + bytes(127), result) is None


def test_numbers_that_a_record_has_no_room_for_are_asked_at_length() -> None:
    assert reserve_record(VOUCHER, 1 << 64, bytes(8), 60) is None
    assert reserve_record(VOUCHER._replace(ceiling=1 << 96), 1, bytes(8), 60) is None


class Declining:
    """Charges that nobody asks, and a facilitator that says where the channel stands."""

    def __init__(self, extra: dict[str, Any]) -> None:
        self.extra = extra
        self.amounts: list[str] = []

    async def settle(self, body: bytes, key: str, **_: Any) -> Declined:
        self.amounts.append(json.loads(body)["paymentRequirements"]["amount"])
        return Declined(
            "invalid_batch_settlement_evm_cumulative_amount_mismatch", "No.", self.extra
        )

    async def close(self) -> None:
        pass


def test_a_deposit_that_is_declined_is_asked_for_anew_at_its_price() -> None:
    """With where the channel stands: x402's clients find their place by that, and pay once more."""
    place = {"channelState": {"balance": "10000"}, "voucherState": {"signedMaxClaimable": "1000"}}
    there: Any = Declining(place)
    offer = Escrow(
        there,
        there,
        network=NETWORK,
        asset=USDC,
        pay_to=PAY_TO,
        currency="usdc",
        decimals=6,
        authorizer=PAY_TO,
        name="USDC",
        version="2",
    )
    app = Counter()
    payload = {
        "type": "deposit",
        "channelConfig": {},
        "voucher": {
            "channelId": "0x" + "11" * 32,
            "maxClaimableAmount": "1000",
            "signature": "0x" + "22" * 65,
        },
        "deposit": {"amount": "10000", "authorization": {}},
    }

    async def scenario() -> Reply:
        shop = Paywall(app, routes=[Route("/paid", "$0.001")], offers=[offer])
        challenge = (await ask(shop)).challenge
        return await ask(shop, headers=paid(challenge, payload=payload))

    reply = run(scenario())
    assert (reply.status, app.calls, there.amounts) == (402, 0, ["0"])
    [asked] = reply.challenge["accepts"]
    assert asked["amount"] == "1000"
    assert {name: asked["extra"][name] for name in place} == place


class AtLength:
    """Charges that are asked at length alone."""

    def __init__(self) -> None:
        self.amounts: list[str] = []

    async def ask_at_length(self, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.amounts += [each["amount"] for each in operations]
        return [{"status": "refused", "reason": REASONS[37]}]

    async def close(self) -> None:
        pass


def test_a_price_that_a_record_has_no_room_for_is_asked_at_length() -> None:
    """Of a coin with 18 decimals that is so from 18.45 of it on."""
    there: Any = AtLength()
    offer = Escrow(
        there, there, network=NETWORK, asset=USDC, pay_to=PAY_TO, currency="dai", decimals=18,
        authorizer=PAY_TO, permit2=True,
    )  # fmt: skip
    voucher = {
        "channelId": "0x" + "11" * 32,
        "maxClaimableAmount": str(20 * 10**18),
        "signature": "0x" + "22" * 65,
    }

    async def scenario() -> Reply:
        shop = Paywall(Counter(), routes=[Route("/paid", "20 dai")], offers=[offer])
        challenge = (await ask(shop)).challenge
        return await ask(
            shop, headers=paid(challenge, payload={"type": "voucher", "voucher": voucher})
        )

    reply = run(scenario())
    assert (reply.status, reply.challenge["error"]) == (402, REASONS[37])
    assert there.amounts == [str(20 * 10**18)]
