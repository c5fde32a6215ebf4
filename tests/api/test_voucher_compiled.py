"""Records of vouchers in compiled code: what the long way asks for, byte for byte, or nothing."""

import random
import secrets
from typing import Any

import pytest
from coincurve import PrivateKey

from sakk.api.compiled import voucher as compiled
from sakk.api.voucher import Met, _asked, _ending, _of, _refused, _why_not
from sakk.core import evm
from sakk.core.charge import AMOUNT_WHOLE
from sakk.core.escrow import (
    VOUCHER_TYPE,
    ChannelConfig,
    channel_id,
    domain_separator,
    voucher_digest,
)
from sakk.core.escrow_channel import PREFIX, EscrowChannel, Refusal, Totals, withdraw_begun
from sakk.core.ids import decode
from sakk.core.voucher import (
    END,
    RESERVATION,
    WHOLE,
    VoucherOp,
    asset_tag,
    encode_voucher_result,
    read_operation,
)
from sakk.flow.voucher import Known, plan
from sakk.ledger.record import encode_results, encode_transfers
from sakk.ledger.types import CreateTransferStatus
from sakk.ledger.voucher import KeptVoucher, encode_voucher
from sakk.store.identity import new_id, now

CHAIN = 84532
NETWORK, ASSET = f"eip155:{CHAIN}", f"eip155:{CHAIN}/erc20:0x" + "33" * 20
TAG = asset_tag(ASSET)
TOTALS = Totals(signed=5_000, charged=3_000, reserved=500, deposit=40_000, unsigned=70)
HIGH = evm.CURVE_ORDER


def met(key: PrivateKey, **changed: Any) -> Met:
    address = evm.public_key_address(key.public_key.format())
    config = ChannelConfig(
        address, address, "0x" + "44" * 20, "0x" + "55" * 20, "0x" + "33" * 20, 86_400,
        secrets.token_bytes(32),
    )  # fmt: skip
    row = EscrowChannel(
        id=new_id(PREFIX), account_id="acct_us", livemode=False, network=NETWORK, asset=ASSET,
        currency="usdc", channel="0x" + channel_id(config, CHAIN).hex(), payer=config.payer,
        payer_authorizer=config.payer_authorizer, receiver=config.receiver,
        receiver_authorizer=config.receiver_authorizer, token=config.token,
        withdraw_delay=config.withdraw_delay, salt=config.salt, status="open", redeemed=77,
        created=now(),
    )  # fmt: skip
    known = Known(row, (11, 12, 13, 14, 15), unit=7)
    made = Met(
        known, decode(row.id)[1].to_bytes(16, "big"), bytes.fromhex(row.payer[2:]), TAG,
        until=2.0, totals=TOTALS, balance=TOTALS.balance,
    )  # fmt: skip
    made.withdraw_begun = withdraw_begun(row)
    made.quick = compiled.Channel(
        row, known.accounts, known.unit, domain_separator(CHAIN), VOUCHER_TYPE, TAG
    )
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def signed(key: PrivateKey, made: Met, ceiling: int) -> bytes:
    name = bytes.fromhex(made.channel.channel[2:])
    compact = key.sign_recoverable(voucher_digest(name, ceiling, CHAIN), hasher=None)
    return compact[:64] + bytes([27 + compact[64]])


def call(
    key: PrivateKey, made: Met, ceiling: int, amount: int, *, timeout: int = 60, tag: bytes = TAG,
    signature: bytes | None = None,
) -> bytes:  # fmt: skip
    signature = signature or signed(key, made, ceiling)
    return RESERVATION.pack(
        VoucherOp.reserve, signature[64], timeout, amount, tag, ceiling.to_bytes(12, "big"),
        bytes.fromhex(made.channel.channel[2:]), signature[:64],
    )  # fmt: skip


def end(made: Met, op: VoucherOp, ceiling: int, attempt: int, amount: int) -> bytes:
    return END.pack(op, attempt, amount, ceiling.to_bytes(12, "big"), made.number)


def ask(body: bytes, *there: Met, account: str = "acct_us", at: float = 1.0) -> Any:
    named = {bytes.fromhex(each.channel.channel[2:]): each for each in there}
    numbered = {each.number: each for each in there}
    return compiled.ask(body, named, numbered, account, False, at, _why_not)


class Forgotten:
    """A channel of which a thread makes unsure what it holds, between two looks at it."""

    def __init__(self, made: Met) -> None:
        self._made = made
        self._looks = iter([made.totals])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    @property
    def totals(self) -> Totals | None:
        return next(self._looks, None)


def test_what_a_thread_makes_unsure_meanwhile_is_for_the_long_way() -> None:
    key = PrivateKey()
    made = met(key)
    there: Any = Forgotten(made)
    asked = ask(call(key, made, 6_000, 10), there)
    assert (asked.later, asked.records, asked.vouchers) == ([0], b"", b"")
    assert not made.raising


@pytest.mark.parametrize("seed", range(10))
def test_both_ways_ask_for_the_same_and_word_it_the_same(seed: int) -> None:
    chance = random.Random(seed)
    keys = [PrivateKey(chance.randbytes(32)) for _ in range(3)]
    there = [met(chance.choice(keys)) for _ in range(12)]
    body, transfers, kept = [], [], []
    wanted: list[tuple[Met, Any]] = []
    for each in there:
        [key] = [k for k in keys if each.channel.payer == met(k).channel.payer]
        ceiling = chance.choice([4_200, 5_000, 5_001, 6_000, 45_000])
        each.known.raises[TOTALS.base] = chance.choice([0, 0, 3])
        body.append(
            call(key, each, ceiling, chance.choice([1, 400]), timeout=chance.choice([0, 9]))
        )
        operation = read_operation(body[-1])
        planned = plan(each.known, TOTALS, [_asked(operation)])
        transfers += planned.transfers
        wanted.append((each, operation))
        if planned.raised is not None:
            kept.append(KeptVoucher(each.number, ceiling, operation.signature))
        if chance.random() < 0.5:
            op = chance.choice([VoucherOp.commit, VoucherOp.release])
            body.append(
                end(each, op, 4_000, chance.choice([0, 1, 200]), chance.choice([0, 9, WHOLE]))
            )
            transfers.append(_ending(read_operation(body[-1]), each))
            wanted.append((each, read_operation(body[-1])))
    asked = ask(b"".join(body), *there)
    assert asked.records == encode_transfers(transfers)
    assert asked.vouchers == b"".join(map(encode_voucher, kept))
    assert sum(each.raising for each in there) == len(kept)
    results = encode_results(range(len(transfers)), bytes(len(transfers)))
    told = asked.answer(results)
    assert not any(each.raising for each in there)
    for index, (each, operation) in enumerate(wanted):
        amount = operation.amount
        if operation.op == VoucherOp.release:
            amount = 0
        elif amount == AMOUNT_WHOLE:
            amount = 0  # this process did not reserve it
        # Also of one that was ended by what nobody remembers: by 0 its payer would deposit again.
        said = _of(each, amount=amount)
        assert said.balance == TOTALS.balance
        assert told[index * 96 : (index + 1) * 96] == encode_voucher_result(said)


def test_a_signature_that_is_not_the_payers_is_refused_alone() -> None:
    key, other = PrivateKey(b"\1" * 32), PrivateKey(b"\2" * 32)
    there = [met(key) for _ in range(5)]
    good = [signed(key, each, 6_000) for each in there]
    high = (HIGH - int.from_bytes(good[1][32:64], "big")).to_bytes(32, "big")
    body = b"".join(
        (
            call(key, there[0], 6_000, 1),
            # The same signature in its other form, which the contract does not take.
            call(
                key, there[1], 6_000, 1, signature=good[1][:32] + high + bytes([55 - good[1][64]])
            ),
            call(key, there[2], 6_000, 1, signature=signed(other, there[2], 6_000)),
            call(key, there[3], 6_001, 1, signature=good[3]),
            call(key, there[4], 6_000, 1, signature=good[4][:64] + b"\0"),
        )
    )
    asked = ask(body, *there)
    assert len(asked.records) == 2 * 128
    told = asked.answer(encode_results(range(2), bytes(2)))
    refused = [encode_voucher_result(_refused(Refusal.signature, each)) for each in there[1:]]
    assert [told[at : at + 96] for at in range(96, 480, 96)] == refused
    assert told[0] == 0
    # Once a key was seen, another one is refused all the same.
    again = ask(call(key, there[0], 6_100, 1, signature=signed(other, there[0], 6_100)), *there)
    assert (again.records, again.vouchers) == (b"", b"")


def test_what_is_not_plain_is_the_long_ways() -> None:
    key = PrivateKey(b"\1" * 32)
    made = met(key)
    one = call(key, made, 6_000, 1)
    for body, there, how in (
        (one, (), {}),
        (one, (made,), {"account": "acct_others"}),
        (one, (made,), {"at": 3.0}),
        (one, (met(key),), {}),
        (one + one, (made,), {}),
        (b"\1" + one[1:], (made,), {}),
        (call(key, made, 6_000, 1, tag=bytes(8)), (made,), {}),
        (call(key, made, 6_000, 1, timeout=3_601), (made,), {}),
    ):
        assert ask(body, *there, **how) is None
    for changed in ({"totals": None}, {"raising": True}):
        busy = met(key, **changed)
        assert ask(call(key, busy, 6_000, 1), busy) is None


def test_what_memory_or_the_ledger_refuses_is_asked_anew() -> None:
    key = PrivateKey(b"\1" * 32)
    there = [met(key) for _ in range(4)]
    there[2].totals = TOTALS._replace(charged=4_450)
    body = b"".join(
        call(key, each, ceiling, 100)
        for each, ceiling in zip(there, (6_000, 45_001, 3_000, 6_000), strict=True)
    )
    asked = ask(body, *there)
    assert asked.later == [1, 2]
    failed = CreateTransferStatus.linked_event_failed
    statuses = bytes([0, 0, CreateTransferStatus.exists_with_different_amount, failed])
    assert asked.answer(encode_results(range(4), statuses)) is None
    assert asked.later == [1, 2, 3]
    assert [each.totals is None for each in there] == [False, False, False, True]
    assert not any(each.raising for each in there)
    joined = asked.joined([b"1" * 96, b"2" * 96, b"3" * 96])
    assert joined[96:] == b"1" * 96 + b"2" * 96 + b"3" * 96
    # Where nothing is known of what became of it, nothing is remembered.
    lost = ask(call(key, there[0], 7_000, 100), *there)
    assert there[0].raising
    lost.fail()
    assert (there[0].raising, there[0].totals) == (False, None)
    # An answer that can not be read keeps nobody waiting, either.
    torn = ask(call(key, there[1], 7_000, 100), *there)
    with pytest.raises(ValueError, match="2 results"):
        torn.answer(b"")
    assert (there[1].raising, there[1].totals) == (False, None)
