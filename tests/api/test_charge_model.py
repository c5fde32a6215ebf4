"""A channel against a model: in whatever order it is asked, the ledger says what the model says."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sakk.api.charge import Held, judge, outcomes, transfer_record
from sakk.core.charge import AMOUNT_WHOLE, Op, Operation, Reason
from sakk.core.session import call_mac
from sakk.ledger.group import Kind, Request
from sakk.ledger.record import decode_account, encode_accounts, encode_transfers
from sakk.ledger.reference import ReferenceMachine
from sakk.ledger.types import Account, AccountFlags, Transfer

FUNDS = 10
REQUEST = b"\x01" * 32
CHANNEL, PAYEE, PAYER = 1, 2, 3
HELD = Held(
    key=bytes(32),
    session=b"\x02" * 16,
    handle=5,
    channel=b"\x03" * 16,
    payer=bytes(20),
    payee=b"\x04" * 16,
    payee_id="acct_1",
    livemode=False,
    currency=b"usdc",
    debit=CHANNEL.to_bytes(16, "big"),
    credit=PAYEE.to_bytes(16, "big"),
    unit=1,
    amount_min=0,
    amount_max=AMOUNT_WHOLE,
    expires_at=1e12,
    until=1e12,
)


@dataclass
class Model:
    """What a channel is, in a dozen lines."""

    free: int = FUNDS
    revenue: int = 0
    presented: set[int] = field(default_factory=set)
    refused: dict[int, int] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    ended: dict[int, tuple[int, int]] = field(default_factory=dict)
    # The ledger keeps a refusal under its id: what was asked too early is refused for good.
    spoiled: dict[tuple[int, int], tuple[int, Reason]] = field(default_factory=dict)

    def reserve(self, nonce: int, amount: int) -> Reason:
        if nonce in self.presented:
            # What was refused is refused again in the same words.
            repeated = self.refused.get(nonce) == amount
            return Reason.ceiling_exceeded if repeated else Reason.nonce_used
        self.presented.add(nonce)
        if amount > self.free:
            self.refused[nonce] = amount
            return Reason.ceiling_exceeded
        self.free -= amount
        self.reserved[nonce] = amount
        return Reason.done

    def end(self, op: int, nonce: int, amount: int) -> Reason:
        if (op, nonce) in self.spoiled:
            asked, reason = self.spoiled[op, nonce]
            return reason if asked == amount else Reason.charge_ended
        if nonce in self.ended:
            if self.ended[nonce] == (op, amount):
                return Reason.done
            if self.ended[nonce][0] != op:
                self.spoiled[op, nonce] = amount, Reason.charge_ended
            return Reason.charge_ended
        if nonce not in self.reserved:
            return self._spoil(op, nonce, amount, Reason.charge_unknown)
        held = self.reserved[nonce]
        used = (held if amount == AMOUNT_WHOLE else amount) if op == Op.commit else 0
        if used > held:
            return self._spoil(op, nonce, amount, Reason.amount_exceeds_reserved)
        del self.reserved[nonce]
        self.ended[nonce] = (op, amount)
        self.free += held - used
        self.revenue += used
        return Reason.done

    def _spoil(self, op: int, nonce: int, amount: int, reason: Reason) -> Reason:
        self.spoiled[op, nonce] = amount, reason
        return reason


def operation(op: int, nonce: int, amount: int) -> Operation:
    mac = call_mac(
        HELD.key, HELD.session, nonce=nonce, amount=amount, payee=HELD.payee, request=REQUEST
    )
    return Operation(op, HELD.session, nonce, amount, 60, REQUEST, mac, b"usdc", 0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(int(Op.reserve)), st.integers(0, 5), st.integers(1, FUNDS + 1)),
            st.tuples(
                st.just(int(Op.commit)),
                st.integers(0, 5),
                st.one_of(st.just(AMOUNT_WHOLE), st.integers(1, FUNDS + 1)),
            ),
            st.tuples(st.just(int(Op.release)), st.integers(0, 5), st.just(0)),
        ),
        max_size=30,
    )
)
@settings(max_examples=150, deadline=timedelta(seconds=5))
def test_a_channel_is_what_the_model_says(asked: list[tuple[int, int, int]]) -> None:
    machine, now = ReferenceMachine(), 10**18
    limited = AccountFlags.debits_must_not_exceed_credits
    accounts = [Account(each, 1, 1, limited if each == CHANNEL else AccountFlags.none)
                for each in (CHANNEL, PAYEE, PAYER)]  # fmt: skip
    machine.apply([Request(Kind.create_accounts, encode_accounts(accounts))], now)
    funding = Transfer(1, PAYER, CHANNEL, FUNDS, unit=1, code=600)
    now += 10
    machine.apply([Request(Kind.create_transfers, encode_transfers([funding]))], now)
    model = Model()
    for op, nonce, amount in asked:
        now += 1_000
        one = operation(op, nonce, amount)
        assert judge(one, HELD, 0.0) == Reason.done
        group = [Request(Kind.create_transfers, transfer_record(one, HELD))]
        results = machine.apply(group, now).outcomes[0].results
        [result] = outcomes([(one, HELD, 0)], results)
        wanted = model.reserve(nonce, amount) if op == Op.reserve else model.end(op, nonce, amount)
        assert Reason(result.reason) == wanted, (op, nonce, amount)
        channel, payee = (
            decode_account(machine.lookup_account(each.to_bytes(16, "big")))
            for each in (CHANNEL, PAYEE)
        )
        assert payee.credits_posted == model.revenue
        held = channel.debits_pending
        assert held == sum(model.reserved.values())
        assert channel.credits_posted - channel.debits_posted - held == model.free >= 0
