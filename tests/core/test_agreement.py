"""Do rows say what the ledger says? One altered field is one break, and a true row is none."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from eth_account import Account

from sakk.core import abi, clone, evm, hub
from sakk.core.agreement import (
    bridge_break,
    payin_break,
    payout_break,
    sweep_break,
    transaction_break,
)
from sakk.core.capture import Line, encode_capture
from sakk.core.contract import CAPTURE, DISPERSE
from sakk.core.disperse import Payment, encode_disperse
from sakk.core.eip3009 import Authorization
from sakk.core.escrow import ESCROW, encode_claim, encode_multicall, encode_settle
from sakk.core.payin import PayIn
from sakk.core.payout import Payout
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction
from sakk.rails.evm.contract import SALT, creation_code

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
NETWORK = "eip155:84532"
NATIVE = f"{NETWORK}/slip44:60"
CONTRACT = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
ASSET = f"{NETWORK}/erc20:{CONTRACT}"
OTHER = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
KEY = "0x" + "11" * 32
SENDER = str(Account.from_key(KEY).address).lower()


def payin(**changes: Any) -> PayIn:
    row = PayIn(
        id="pin_1",
        account_id="acct_1",
        livemode=False,
        network=NETWORK,
        asset=ASSET,
        currency="usdc",
        decimals=6,
        token_amount=1_000,
        amount=1_000,
        address=SENDER,
        sender=OTHER,
        tx_hash="0xab",
        log_index=0,
        block_number=1,
        block_hash="0xcd",
        block_timestamp=1,
        status="posted",
        role="payment",
        credit_units=900,
        suspense_units=100,
        created=MOMENT,
    )
    return replace(row, **changes)


def check_payin(row: PayIn, custody: dict[str, int], credited: int) -> str | None:
    return payin_break(
        row, custody=custody, credited=credited, asset_decimals=6, currency_decimals=6
    )


TRUE_PAYINS: list[tuple[dict[str, Any], dict[str, int], int]] = [
    ({}, {ASSET: 1_000}, 900),
    ({"status": "released"}, {ASSET: 1_000}, 900),
    ({"status": "posted", "credit_units": None}, {ASSET: 1_000}, 0),
    ({"status": "posted", "role": "treasury", "credit_units": 1_000}, {ASSET: 1_000}, 0),
    ({"status": "held", "quarantined": True}, {ASSET: 1_000}, 0),
    ({"status": "held", "quarantined": False}, {}, 0),
    ({"fee": 50, "fee_returned": 20}, {ASSET: 1_000}, 870),
    ({"status": "reversed"}, {}, 0),
    ({"status": "reversed", "fee": 50, "fee_returned": 20, "fee_given_back": 30}, {}, -10),
    ({"status": "orphaned"}, {}, 0),
    ({"status": "seen", "amount": None}, {}, 0),
]


@pytest.mark.parametrize(("changes", "custody", "credited"), TRUE_PAYINS)
def test_a_true_payin(changes: dict[str, Any], custody: dict[str, int], credited: int) -> None:
    assert check_payin(payin(**changes), custody, credited) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"token_amount": 1_001, "amount": 1_001},
        {"asset": f"{NETWORK}/erc20:{OTHER}"},
        {"credit_units": 901},
        {"amount": 999},
        {"status": "reversed"},
        {"status": "held", "quarantined": True},
        {"status": "seen"},
    ],
)
def test_an_altered_payin(changes: dict[str, Any]) -> None:
    found = check_payin(payin(**changes), {ASSET: 1_000}, 900)
    assert found is not None
    assert found.startswith("pin_1: the row")


@pytest.mark.parametrize(
    ("custody", "credited"), [({}, 900), ({ASSET: 999}, 900), ({ASSET: 1_000}, 899)]
)
def test_a_ledger_that_says_otherwise(custody: dict[str, int], credited: int) -> None:
    assert check_payin(payin(), custody, credited) is not None


def signed(**changes: Any) -> ChainTransaction:
    """A transaction whose bytes are signed with a real key."""
    native = changes.get("asset") == NATIVE
    to, units = changes.pop("to", OTHER), changes.pop("units", 1_000)
    fields = {
        "type": 2,
        "chainId": 84532,
        "nonce": changes.pop("made_nonce", 4),
        "maxPriorityFeePerGas": 1,
        "maxFeePerGas": 2_000,
        "gas": 80_000,
        "to": evm.checksum_address(to if native else changes.pop("contract", CONTRACT)),
        "value": units if native else 0,
        "data": changes.pop("data", b"" if native else abi.encode_transfer(to, units)),
    }
    raw = bytes(Account.sign_transaction(fields, KEY).raw_transaction)
    row = ChainTransaction(
        id="tx_1",
        livemode=False,
        network=NETWORK,
        purpose="payout",
        subject="po_1",
        sender=SENDER,
        key_branch="treasury",
        key_index=0,
        nonce=4,
        asset=ASSET,
        destination=OTHER,
        token_amount=1_000,
        gas_limit=80_000,
        max_fee_per_gas=2_000,
        max_priority_fee_per_gas=1,
        unsigned=b"",
        since_block=9,
        raw=raw,
        hash=evm.transaction_hash(raw),
        status="posted",
        succeeded=True,
        gas_cost=50,
        arrived_units=1_000,
        created=MOMENT,
    )
    return replace(row, **changes)


# What an attempt that cancels is: nothing to the sender itself.
USED_UP: dict[str, Any] = {"contract": SENDER, "units": 0, "data": b""}

TRUE_TRANSACTIONS: list[tuple[dict[str, Any], dict[str, int]]] = [
    ({}, {ASSET: -1_000, NATIVE: -50}),
    ({"purpose": "sweep"}, {NATIVE: -50}),
    ({"purpose": "sweep", "arrived_units": 990}, {NATIVE: -50, ASSET: -10}),
    ({"purpose": "sweep", "arrived_units": 1_010}, {NATIVE: -50}),
    ({"purpose": "topup", "asset": NATIVE}, {NATIVE: -50}),
    # A recovery: what was never in the ledger leaves no trace there.
    ({"purpose": "recovery", "key_branch": "deposit"}, {ASSET: -1_000, NATIVE: -50}),
    ({"purpose": "recovery", "key_branch": "deposit"}, {NATIVE: -50}),
    ({"status": "failed"}, {NATIVE: -50}),
    ({"status": "failed", "gas_cost": 0}, {}),
    ({"status": "broadcast"}, {}),
    ({"status": "built", "raw": None, "hash": None}, {}),
    ({"orphaned": True}, {}),
    # An operator canceled it: its bytes send nothing to the sender itself.
    ({"status": "failed", "succeeded": False, **USED_UP}, {NATIVE: -50}),
    ({"purpose": "cancel", "succeeded": True, **USED_UP}, {NATIVE: -50}),
]


@pytest.mark.parametrize(("changes", "custody"), TRUE_TRANSACTIONS)
def test_a_true_transaction(changes: dict[str, Any], custody: dict[str, int]) -> None:
    assert transaction_break(signed(**changes), custody=custody, native_asset=NATIVE) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": SENDER},
        {"token_amount": 1_001},
        {"nonce": 5},
        {"network": "eip155:1"},
        {"sender": OTHER},
        {"hash": "0x" + "00" * 32},
        {"to": SENDER},
        {"units": 1},
        {"contract": OTHER},
        {"made_nonce": 9},
        {"gas_cost": 51},
        {"status": "failed"},
        {"asset": NATIVE, "to": SENDER},
        {"succeeded": True, **USED_UP},
        {"status": "failed", "made_nonce": 9, **USED_UP},
    ],
)
def test_an_altered_transaction(changes: dict[str, Any]) -> None:
    found = transaction_break(
        signed(**changes), custody={ASSET: -1_000, NATIVE: -50}, native_asset=NATIVE
    )
    assert found is not None
    assert found.startswith("tx_1: ")


LINES = [Payment(OTHER, 600), Payment(SENDER, 400)]


def dispersal(**changes: Any) -> ChainTransaction:
    """A transaction that pays two payouts."""
    made = {
        "purpose": "disperse",
        "subject": "tx_1",
        "contract": DISPERSE.address,
        "destination": DISPERSE.address,
        "data": encode_disperse(CONTRACT, LINES),
    }
    row = signed(**made | changes)
    unsigned = evm.Transaction(
        84532, 4, 1, 2_000, 80_000, DISPERSE.address, 0, encode_disperse(CONTRACT, LINES)
    )
    return replace(row, unsigned=evm.encode_unsigned(unsigned))


def allowance(**changes: Any) -> ChainTransaction:
    made = {
        "purpose": "allowance",
        "destination": DISPERSE.address,
        "data": abi.encode_approve(DISPERSE.address, 1_000),
    }
    return signed(**made | changes)


def deployment(**changes: Any) -> ChainTransaction:
    made = {
        "purpose": "deploy",
        "contract": evm.CREATE2_DEPLOYER,
        "destination": DISPERSE.address,
        "token_amount": 0,
        "data": SALT + creation_code("Disperse"),
    }
    return signed(**made | changes)


AUTHORIZED = Authorization(OTHER, SENDER, 1_000, 0, 9, bytes(32))


def capture(**changes: Any) -> ChainTransaction:
    signed_by = (
        Authorization(OTHER, SENDER, 600, 0, 9, bytes(32)),
        Authorization(SENDER, OTHER, 400, 0, 9, bytes(32)),
    )
    made = {
        "purpose": "capture",
        "contract": CAPTURE.address,
        "destination": CAPTURE.address,
        "data": encode_capture(CONTRACT, [Line(each, bytes(65)) for each in signed_by]),
    }
    return signed(**made | changes)


CLAIMED = encode_multicall([encode_claim([]), encode_settle(OTHER, CONTRACT)])


def redemption(**changes: Any) -> ChainTransaction:
    made = {
        "purpose": "redemption",
        "contract": ESCROW,
        "destination": OTHER,
        "token_amount": 0,
        "data": CLAIMED,
        "arrived_units": 700,
    }
    return signed(**made | changes)


def escrow_call(**changes: Any) -> ChainTransaction:
    made = {
        "purpose": "escrow",
        "contract": ESCROW,
        "destination": ESCROW,
        "token_amount": 0,
        "data": encode_claim([]),
    }
    return signed(**made | changes)


def test_true_calls_of_our_contract() -> None:
    def check(row: ChainTransaction, custody: dict[str, int]) -> str | None:
        return transaction_break(row, custody=custody, native_asset=NATIVE)

    assert check(dispersal(), {ASSET: -1_000, NATIVE: -50}) is None
    some = dispersal(arrived_units=600, failed_lines={"1": "no"})
    assert check(some, {ASSET: -600, NATIVE: -50}) is None
    assert check(dispersal(arrived_units=None), {NATIVE: -50}) is None
    assert check(allowance(), {NATIVE: -50}) is None
    assert check(deployment(), {NATIVE: -50}) is None
    assert check(capture(), {NATIVE: -50}) is None
    assert check(redemption(), {ASSET: 700, NATIVE: -50}) is None
    assert check(redemption(arrived_units=None), {NATIVE: -50}) is None
    assert check(escrow_call(), {NATIVE: -50}) is None


@pytest.mark.parametrize(
    "row",
    [
        dispersal(arrived_units=999),
        dispersal(contract=OTHER),
        dispersal(token_amount=999),
        dispersal(data=encode_disperse(OTHER, LINES)),
        dispersal(data=encode_disperse(CONTRACT, LINES[:1])),
        dispersal(data=abi.encode_transfer(OTHER, 1_000)),
        allowance(data=abi.encode_approve(OTHER, 1_000)),
        allowance(data=abi.encode_approve(DISPERSE.address, 1_001)),
        allowance(contract=OTHER),
        deployment(data=SALT + b"other code"),
        deployment(contract=OTHER),
        deployment(destination=OTHER),
        capture(token_amount=999),
        capture(contract=OTHER),
        capture(data=encode_capture(OTHER, [Line(AUTHORIZED, bytes(65))])),
        redemption(destination=SENDER, arrived_units=None),
        redemption(data=encode_claim([]), arrived_units=None),
        escrow_call(contract=OTHER),
        escrow_call(data=abi.encode_transfer(OTHER, 1_000)),
    ],
)
def test_altered_calls_of_our_contract(row: ChainTransaction) -> None:
    custody = {ASSET: -1_000, NATIVE: -50} if row.purpose == "disperse" else {NATIVE: -50}
    found = transaction_break(row, custody=custody, native_asset=NATIVE)
    assert found is not None
    assert found.startswith("tx_1: ")


@pytest.mark.parametrize(("line", "to", "units"), [(0, OTHER, 600), (1, SENDER, 400)])
def test_a_payout_is_its_line_of_a_dispersal(line: int, to: str, units: int) -> None:
    row = payout(transaction_line=line, destination=to, token_amount=units)
    assert payout_break(row, dispersal(), taken=1_010) is None
    for other in (None, 1 - line, 2):
        found = payout_break(replace(row, transaction_line=other), dispersal(), taken=1_010)
        assert found is not None


def payout(**changes: Any) -> Payout:
    row = Payout(
        id="po_1",
        account_id="acct_1",
        livemode=False,
        amount=1_000,
        fee=10,
        currency="usdc",
        decimals=6,
        network=NETWORK,
        asset=ASSET,
        token_amount=1_000,
        destination=OTHER,
        fee_mode="sender",
        status="posted",
        hold="posted",
        transaction="tx_1",
        metadata={},
        created=MOMENT,
    )
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, 1_010),
        ({"fee_mode": "receiver"}, 1_000),
        ({"status": "failed"}, 0),
        ({"status": "canceled", "transaction": None}, 0),
    ],
)
def test_a_true_payout(changes: dict[str, Any], taken: int) -> None:
    sent = None if changes.get("transaction", "tx_1") is None else signed()
    assert payout_break(payout(**changes), sent, taken=taken) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 1_001},
        {"fee": 11},
        {"status": "failed"},
        {"token_amount": 999},
        {"destination": SENDER},
        {"asset": NATIVE},
        {"network": "eip155:1"},
    ],
)
def test_an_altered_payout(changes: dict[str, Any]) -> None:
    found = payout_break(payout(**changes), signed(), taken=1_010)
    assert found is not None
    assert found.startswith("po_1: ")


def test_what_a_platform_has_of_a_payout_to_a_bank_moves_with_it() -> None:
    row = payout(network="bank", transaction=None, application_fee=7)
    assert payout_break(row, None, taken=1_010) is None
    assert payout_break(row, None, taken=1_017) is not None
    assert payout_break(replace(row, status="failed"), None, taken=0) is None


def test_a_payout_whose_transaction_is_gone() -> None:
    assert payout_break(payout(), None, taken=1_010) == "po_1: its transaction tx_1 is missing"


def sweep(**changes: Any) -> Sweep:
    row = Sweep(
        id="sw_1",
        livemode=False,
        network=NETWORK,
        asset=ASSET,
        address=SENDER,
        key_index=1,
        destination=OTHER,
        token_amount=1_000,
        status="posted",
        transaction="tx_1",
        created=MOMENT,
    )
    return replace(row, **changes)


def test_a_true_sweep() -> None:
    assert sweep_break(sweep(), signed()) is None
    assert sweep_break(sweep(transaction=None, token_amount=5), None) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"token_amount": 999},
        {"destination": SENDER},
        {"address": OTHER},
        {"asset": NATIVE},
        {"network": "eip155:1"},
    ],
)
def test_an_altered_sweep(changes: dict[str, Any]) -> None:
    found = sweep_break(sweep(**changes), signed())
    assert found is not None
    assert found.startswith("sw_1: ")


FACTORY = "0x" + "fa" * 20
SALT_OF_CLONE = clone.salt_of(SENDER)
CLONE = clone.address_of(FACTORY, SALT_OF_CLONE)


def recovery(
    call: clone.Recover | None = None, *, data: bytes | None = None, **changes: Any
) -> ChainTransaction:
    """A factory's call that sends something from a clone, signed by a treasury key."""
    made = call or clone.Recover(SALT_OF_CLONE, CONTRACT, OTHER, 1_000)
    data = clone.encode_recover(made) if data is None else data
    unsigned = evm.Transaction(84532, 4, 1, 2_000, 80_000, FACTORY, 0, data)
    wanted = {"purpose": "recovery", "contract": FACTORY, "data": data}
    row = signed(**wanted | changes)
    return replace(row, unsigned=evm.encode_unsigned(unsigned))


def test_a_true_recovery_from_a_clone() -> None:
    row = sweep(method="recovery", factory=FACTORY, address=CLONE)
    assert sweep_break(row, recovery()) is None
    custody = {ASSET: -1_000, NATIVE: -50}
    assert transaction_break(recovery(), custody=custody, native_asset=NATIVE) is None


@pytest.mark.parametrize(
    "row",
    [
        recovery(clone.Recover(SALT_OF_CLONE, OTHER, OTHER, 1_000)),
        recovery(clone.Recover(SALT_OF_CLONE, None, OTHER, 1_000)),
        recovery(clone.Recover(SALT_OF_CLONE, CONTRACT, SENDER, 1_000)),
        recovery(clone.Recover(SALT_OF_CLONE, CONTRACT, OTHER, 999)),
        recovery(data=abi.encode_transfer(OTHER, 1_000)),
    ],
)
def test_an_altered_recovery_from_a_clone(row: ChainTransaction) -> None:
    custody = {ASSET: -1_000, NATIVE: -50}
    found = transaction_break(row, custody=custody, native_asset=NATIVE)
    assert found is not None
    assert found.startswith("tx_1: ")


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"address": SENDER}, recovery()),
        ({"factory": "0x" + "fb" * 20, "address": CLONE, "destination": SENDER}, recovery()),
        ({"address": CLONE}, recovery(clone.Recover(b"\x01" * 32, CONTRACT, OTHER, 1_000))),
        ({"address": CLONE}, recovery(data=abi.encode_transfer(OTHER, 1_000))),
    ],
)
def test_a_sweep_from_another_clone(changes: dict[str, Any], sent: ChainTransaction) -> None:
    row = sweep(**{"method": "recovery", "factory": FACTORY, **changes})
    found = sweep_break(row, sent)
    assert found is not None
    assert found.startswith("sw_1: ")


def test_a_sweep_whose_transaction_is_gone() -> None:
    assert sweep_break(sweep(), None) == "sw_1: its transaction tx_1 is missing"


def collection(rows: list[Sweep], *, delegated: bool = False, **changes: Any) -> ChainTransaction:
    """A call of the hub for these sweeps, signed with a real key."""
    data = hub.encode_sweep([hub.Item(each.address, CONTRACT, each.token_amount) for each in rows])
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": 84532,
        "nonce": 4,
        "maxPriorityFeePerGas": 1,
        "maxFeePerGas": 2_000,
        "gas": 80_000,
        "to": evm.checksum_address("0x" + "0b" * 20),
        "value": 0,
        "data": data,
    }
    if delegated:
        wanted = {"chainId": 0, "address": bytes(20), "nonce": 0}
        fields |= {"type": 4, "authorizationList": [Account.sign_authorization(wanted, KEY)]}
    raw = bytes(Account.sign_transaction(fields, KEY).raw_transaction)
    return signed(
        purpose="collect",
        asset=NATIVE,
        token_amount=0,
        raw=raw,
        hash=evm.transaction_hash(raw),
        **changes,
    )


def collected(number: int, *, arrived: int | None) -> Sweep:
    address = f"0x{number:040x}"
    return sweep(id=f"sw_{number}", address=address, method="hub", arrived_units=arrived)


@pytest.mark.parametrize("delegated", [False, True])
def test_a_true_collection(delegated: bool) -> None:
    rows = [collected(1, arrived=1_000), collected(2, arrived=0), collected(3, arrived=990)]
    row = collection(rows, delegated=delegated)
    custody = {NATIVE: -50, ASSET: -10}
    assert transaction_break(row, custody=custody, native_asset=NATIVE, sweeps=rows) is None
    reverted = replace(row, status="failed")
    only_gas = {NATIVE: -50}
    assert transaction_break(reverted, custody=only_gas, native_asset=NATIVE, sweeps=rows) is None
    for each in rows:
        assert sweep_break(each, row) is None


def test_an_altered_collection() -> None:
    rows = [collected(1, arrived=1_000), collected(2, arrived=1_000)]
    row = collection(rows)
    for wrong in (
        rows[:1],
        rows[::-1],
        [rows[0], replace(rows[1], token_amount=999)],
        [rows[0], replace(rows[1], address=OTHER)],
    ):
        found = transaction_break(row, custody={NATIVE: -50}, native_asset=NATIVE, sweeps=wrong)
        assert found is not None
    assert sweep_break(replace(rows[0], destination=SENDER), row) is not None


@pytest.mark.parametrize(
    ("units", "decimals", "owed", "holds"),
    [
        (1_000, 6, 1_000, True),
        (0, 6, 0, True),
        (-1_000, 6, -1_000, True),
        (10**15, 18, 1_000, True),
        (10**15 + 1, 18, 1_000, False),
        (1_000, 6, 999, False),
        (-1_000, 6, 1_000, False),
    ],
)
def test_the_bridge(units: int, decimals: int, owed: int, holds: bool) -> None:
    found = bridge_break(
        ASSET, units=units, asset_decimals=decimals, owed=owed, currency_decimals=6
    )
    assert (found is None) is holds
