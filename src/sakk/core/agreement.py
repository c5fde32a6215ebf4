"""Agreement: does a row say what the ledger's transfers say that carry its id?

A row is what people see and the ledger is what is true, so a row that was altered by hand, or by a
fault, must not pass. Each function gives None, or what does not agree, in words.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sakk.core import authorization, chart, clone, evm
from sakk.core.abi import decode_approve, decode_transfer
from sakk.core.caip import chain_id, erc20_contract
from sakk.core.capture import moved_by
from sakk.core.collection import items_of
from sakk.core.contract import DISPERSE, deployed_by
from sakk.core.disperse import Payment, decode_disperse
from sakk.core.escrow import ESCROW, decode_calls, paid_by
from sakk.core.payin import OPERATORS, PayIn, PayInStatus, credited_amount, is_moved
from sakk.core.payout import BANK, Payout, PayoutStatus, debited
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus

# Asset to atomic units: what a row's transfers did to custody, signed, without what came to zero.
CustodyMoves = Mapping[str, int]


def payin_break(
    row: PayIn,
    *,
    custody: CustodyMoves,
    credited: int,
    asset_decimals: int,
    currency_decimals: int,
) -> str | None:
    """A pay-in that is booked: its coins in custody, and what its merchant was credited."""
    expected: dict[str, int] = {}
    owed = 0
    match PayInStatus(row.status):
        case PayInStatus.posted | PayInStatus.released:
            expected = {} if is_moved(row) else {row.asset: row.token_amount}
            # What the treasury takes in is the operator's: no merchant is owed it.
            units = 0 if row.role in OPERATORS else row.credit_units or 0
            owed, _ = credited_amount(
                units, asset_decimals=asset_decimals, currency_decimals=currency_decimals
            )
            owed -= row.fee - row.fee_returned
        case PayInStatus.held:
            expected = {row.asset: row.token_amount} if row.quarantined else {}
        case (
            PayInStatus.seen
            | PayInStatus.confirmed
            | PayInStatus.screened
            | PayInStatus.returned
            | PayInStatus.seized
            | PayInStatus.orphaned
        ):
            pass
        case PayInStatus.reversed:
            # What refunds had given back of its fee before is no credit of its own.
            owed = row.fee_returned - (row.fee_given_back or 0)
    if dict(custody) != expected:
        return f"{row.id}: the row says {_moves(expected)} came, its transfers {_moves(custody)}"
    # What a reversal could not take back stands as a receivable, which is the merchant's too.
    if credited != owed:
        return f"{row.id}: the row says that {owed} were credited, its transfers {credited}"
    shown, _ = credited_amount(
        row.token_amount, asset_decimals=asset_decimals, currency_decimals=currency_decimals
    )
    if row.amount is not None and row.amount != shown:
        return f"{row.id}: the row shows an amount of {row.amount}, its units are worth {shown}"
    return None


def payout_break(row: Payout, sent: ChainTransaction | None, *, taken: int) -> str | None:
    """A payout: what its balance gave, and that its transaction is the one that it asked for."""
    expected = debited(row) if row.status == PayoutStatus.posted else 0
    if expected and row.network == BANK:
        # What a platform has of it is a merchant's too, and moves with the payout itself.
        expected -= row.application_fee
    if taken != expected:
        return f"{row.id}: the row says that {expected} were debited, its transfers {taken}"
    if row.transaction is None:
        return None
    if sent is None:
        return f"{row.id}: its transaction {row.transaction} is missing"
    asked = (row.network, row.asset, row.destination, row.token_amount)
    made = (sent.network, sent.asset, *_line(row, sent))
    if asked != made:
        return f"{row.id}: the row asks for {asked}, its transaction {sent.id} makes {made}"
    return None


def _line(row: Payout, sent: ChainTransaction) -> tuple[str, int] | tuple[None, None]:
    """To whom a transaction pays how much for a payout: all of it, or one line of a dispersal."""
    if sent.purpose != Purpose.disperse:
        return sent.destination, sent.token_amount
    payments = _payments(sent.unsigned)
    if row.transaction_line is None or row.transaction_line >= len(payments):
        return None, None
    payment = payments[row.transaction_line]
    return payment.to, payment.units


@lru_cache(maxsize=64)
def _payments(unsigned: bytes) -> tuple[Payment, ...]:
    """A dispersal's lines; remembered, since each of its payouts asks for its own."""
    return decode_disperse(evm.decode_unsigned(unsigned).data).payments


def sweep_break(row: Sweep, sent: ChainTransaction | None) -> str | None:
    """A sweep: that its transaction is the one that it asked for, or calls a contract for it."""
    if row.transaction is None:
        return None
    if sent is None:
        return f"{row.id}: its transaction {row.transaction} is missing"
    asked: tuple[object, ...] = (row.network, row.destination)
    made: tuple[object, ...] = (sent.network, sent.destination)
    if sent.purpose != Purpose.collect:
        asked += (row.asset, row.address, row.token_amount)
        made += (sent.asset, _left_from(row, sent), sent.token_amount)
    if asked != made:
        return f"{row.id}: the row asks for {asked}, its transaction {sent.id} makes {made}"
    return None


def _left_from(row: Sweep, sent: ChainTransaction) -> str:
    """Which address a sweep's own transaction takes the coins from: a clone sends none itself."""
    if row.factory is None:
        return sent.sender
    call = evm.decode_unsigned(sent.unsigned)
    try:
        return clone.recovered_from(call.to, call.data)
    except ValueError as error:
        return str(error)


def transaction_break(
    row: ChainTransaction,
    *,
    custody: CustodyMoves,
    native_asset: str,
    sweeps: Sequence[Sweep] = (),
    escrowed: CustodyMoves | None = None,
    escrow_units: int = 0,
) -> str | None:
    """A transaction: its bytes are what the row says, and its transfers what it did.

    ``sweeps``: those that it carries out, in order, where it is a collection. ``escrowed``: what
    its transfers did to coins in the escrow, ``escrow_units`` what its call is there to do.
    """
    different = _different_bytes(row, sweeps)
    if different is not None:
        return f"{row.id}: {different}"
    status = TransactionStatus(row.status)
    if row.orphaned or status not in (TransactionStatus.posted, TransactionStatus.failed):
        return None
    expected = _expected_moves(row, custody, native_asset, sweeps)
    expected = {asset: units for asset, units in expected.items() if units}
    if dict(custody) != expected:
        return f"{row.id}: the row says {_moves(expected)} moved, its transfers {_moves(custody)}"
    called = {row.asset: escrow_units} if row.status == TransactionStatus.posted else {}
    called = {asset: units for asset, units in called.items() if units}
    if dict(escrowed or {}) != called:
        moved = _moves(escrowed or {})
        return f"{row.id}: its call moves {_moves(called)} in escrow, its transfers {moved}"
    return None


def _expected_moves(
    row: ChainTransaction, custody: CustodyMoves, native_asset: str, sweeps: Sequence[Sweep]
) -> dict[str, int]:
    """What a booked transaction did to custody, as its row tells it."""
    expected = {native_asset: -(row.gas_cost or 0)}
    if row.status == TransactionStatus.posted:
        match Purpose(row.purpose):
            case Purpose.payout | Purpose.refund | Purpose.forgotten:
                expected[row.asset] = expected.get(row.asset, 0) - row.token_amount
            case Purpose.recovery:
                expected[row.asset] = expected.get(row.asset, 0) - _given_back(
                    row, custody, native_asset
                )
            case Purpose.sweep | Purpose.rotation:
                kept = row.token_amount - min(row.arrived_units or 0, row.token_amount)
                expected[row.asset] = expected.get(row.asset, 0) - kept
            case Purpose.collect:
                for each in sweeps:
                    kept = each.token_amount - min(each.arrived_units or 0, each.token_amount)
                    if each.arrived_units:
                        expected[each.asset] = expected.get(each.asset, 0) - kept
            case Purpose.disperse:
                expected[row.asset] = expected.get(row.asset, 0) - (row.arrived_units or 0)
            case Purpose.redemption:
                expected[row.asset] = expected.get(row.asset, 0) + (row.arrived_units or 0)
            case (
                Purpose.topup
                | Purpose.withdrawal
                | Purpose.escrow
                | Purpose.cancel
                | Purpose.allowance
                | Purpose.deploy
                | Purpose.capture
            ):
                pass
    return expected


def _given_back(row: ChainTransaction, custody: CustodyMoves, native_asset: str) -> int:
    """A recovery: a token that was never in the ledger leaves no trace there, all else whole."""
    is_booked = row.asset == native_asset or row.asset in custody
    return row.token_amount if is_booked else 0


def _different_bytes(row: ChainTransaction, sweeps: Sequence[Sweep]) -> str | None:
    """What the signed bytes say otherwise than the row."""
    if row.raw is None:
        return None
    if row.hash != evm.transaction_hash(row.raw):
        return f"its hash is not that of its bytes, {evm.transaction_hash(row.raw)}"
    if authorization.is_set_code(row.raw):
        set_code = authorization.decode_signed(row.raw)
        made, sender = set_code.transaction.call, authorization.recover_sender(set_code)
    else:
        signed = evm.decode_signed(row.raw)
        assert isinstance(signed.transaction, evm.Transaction), "we sign no legacy transactions"
        made, sender = signed.transaction, evm.recover_sender(signed)
    claims: tuple[object, ...] = (chain_id(row.network), row.sender, row.nonce)
    bytes_say: tuple[object, ...] = (made.chain_id, sender, made.nonce)
    if _uses_up(row, made):
        if row.succeeded and row.purpose != Purpose.cancel:
            return "it is booked as done, and its bytes do nothing"
    elif row.purpose == Purpose.collect:
        claims += tuple(
            (each.address, erc20_contract(each.asset), each.token_amount) for each in sweeps
        )
        bytes_say += tuple(
            (each.deposit, each.token, each.units) for each in items_of(made.to, made.data)
        )
    else:
        try:
            called, to, units = _claimed(row, made)
        except ValueError as error:
            return f"its bytes are {error}"
        if made.to != called:
            return f"its bytes call {made.to}, the row says {called}"
        claims += (row.destination, row.token_amount)
        bytes_say += (to, units)
    if claims != bytes_say:
        return f"its bytes say {bytes_say}, the row {claims}"
    return None


def _uses_up(row: ChainTransaction, made: evm.Transaction) -> bool:
    """Is this the attempt that only uses the nonce up?"""
    return made.to == row.sender and not made.value and not made.data


def _claimed(
    row: ChainTransaction, made: evm.Transaction | evm.LegacyTransaction
) -> tuple[str | None, str | None, int]:
    """The contract that the bytes of a purpose call, and whom they give how much; ValueError."""
    contract = erc20_contract(row.asset)
    if row.purpose == Purpose.recovery and row.key_branch == "treasury":
        recovered = clone.decode_recover(made.data)
        if recovered.token != contract:
            raise ValueError(f"a recovery of {recovered.token}, the row says {contract}")
        # Which factory is called is the sweep's to say.
        return made.to, recovered.to, recovered.units
    match Purpose(row.purpose):
        case (
            Purpose.payout
            | Purpose.refund
            | Purpose.sweep
            | Purpose.collect
            | Purpose.topup
            | Purpose.withdrawal
            | Purpose.recovery
            | Purpose.cancel
            | Purpose.rotation
            | Purpose.forgotten
        ):
            if contract is None:
                return made.to, made.to, made.value
            call = decode_transfer(made.data)
            return contract, call.to, call.amount
        case Purpose.disperse:
            dispersal = decode_disperse(made.data)
            if dispersal.token != contract:
                raise ValueError(f"a dispersal of {dispersal.token}, the row says {contract}")
            return DISPERSE.address, DISPERSE.address, dispersal.units
        case Purpose.allowance:
            approval = decode_approve(made.data)
            return contract, approval.spender, approval.amount
        case Purpose.deploy:
            return evm.CREATE2_DEPLOYER, deployed_by(made.data).address, 0
        case Purpose.capture:
            moved = moved_by(made.to, made.data)
            if any(each.token != contract for each in moved):
                raise ValueError(f"a capture of another token than {contract}")
            return made.to, made.to, sum(each.units for each in moved)
        case Purpose.redemption | Purpose.escrow:
            return ESCROW, _named_by(row, made.data), 0


def _named_by(row: ChainTransaction, data: bytes) -> str:
    """Whom a redemption pays, or the escrow that any other call of it names; ValueError."""
    if row.purpose == Purpose.redemption:
        return paid_by(data)[0]
    decode_calls(data)
    return ESCROW


def bridge_break(
    asset: str, *, units: int, asset_decimals: int, owed: int, currency_decimals: int
) -> str | None:
    """The bridge between coins held and money owed: both sides are worth the same."""
    if units * 10**currency_decimals == owed * 10**asset_decimals:
        return None
    return f"{chart.conversion_asset(asset).path}: {units} units of coins against {owed} owed"


def _moves(moves: CustodyMoves) -> str:
    if not moves:
        return "nothing"
    return ", ".join(f"{units} of {asset}" for asset, units in sorted(moves.items()))
