"""The capture contract on a real chain, with the real USDC: one that fails stops no other."""

import time
from typing import Any

from eth_account import Account
from tests.chain import Chain
from tests.core.x402ing import authorized

from sakk.core.capture import (
    GAS_BEFORE_TRANSFER,
    Line,
    Outcome,
    encode_capture,
    moved_by,
    outcomes,
)
from sakk.core.contract import CAPTURE
from sakk.core.disperse import TRANSACTION_GAS_MAX, Log
from sakk.core.eip3009 import Authorization
from sakk.rails.evm.send import revert_reason
from sakk.rails.sandbox.chain import mine_until
from sakk.rails.sandbox.wallet import encode_call

PAY_TO = "0x" + "b4" * 20
BURNER = "0x" + "57" * 32
# Uses up all gas that it is given: JUMPDEST, PUSH0, JUMP.
BURNS = "0x5b5f56"


def line(key: str, units: int, nonce: int, **changes: str) -> Line:
    fields: dict[str, Any] = {
        "to": PAY_TO,
        "value": str(units),
        "validBefore": str(int(time.time()) + 3_600),
        "nonce": f"0x{nonce:064x}",
    }
    payload = authorized(key, **fields | changes)
    signed = payload["authorization"]
    return Line(
        Authorization(
            signed["from"].lower(),
            signed["to"],
            int(signed["value"]),
            int(signed["validAfter"]),
            int(signed["validBefore"]),
            bytes.fromhex(signed["nonce"][2:]),
        ),
        bytes.fromhex(payload["signature"][2:]),
    )


def capture(
    chain: Chain, lines: list[Line], gas_limit: int = TRANSACTION_GAS_MAX
) -> tuple[list[Outcome], int]:
    """Capture, and read the outcome as the product does; with the gas that it used."""
    data = encode_capture(chain.contracts.usdc.contract, lines)
    sent = chain.payer.send_data(CAPTURE.address, data, gas_limit=gas_limit)
    receipt = mine_until(chain.payer, sent)
    logs = [
        (
            int(each["logIndex"], 16),
            Log(each["address"].lower(), tuple(each["topics"]), bytes.fromhex(each["data"][2:])),
        )
        for each in receipt["logs"]
    ]
    moved = moved_by(CAPTURE.address, data)
    sender = chain.payer.address.lower()
    return outcomes(moved, logs, to=CAPTURE.address, sender=sender), int(receipt["gasUsed"], 16)


def words(outcome: Outcome) -> str:
    return revert_reason("0x" + outcome.answer.hex())


def test_each_line_ends_as_its_own_authorization_does(chain: Chain) -> None:
    key, usdc = chain.contracts.payer_private_key, chain.contracts.usdc.contract
    burner = Account.from_key(BURNER).address
    chain.payer.transfer(usdc, burner, 1_000)
    # A payer whose account is code that burns gas: USDC asks it for the signature.
    chain.rpc.call("anvil_setCode", burner, BURNS)
    forged = line(key, 6, 6)
    forged = Line(forged.authorization, b"\x11" * 64 + b"\x1b")
    used = line(key, 7, 7)
    lines = [
        line(key, 1, 1),
        line(BURNER, 2, 2),
        line(key, 3, 3),
        line(key, 4, 4, validBefore="1"),
        forged,
        used,
        used,
        line(key, 8, 8),
    ]
    found, _ = capture(chain, lines)
    assert [each.log_index is not None for each in found] == [
        *(True, False, True, False, False, True, False, True)
    ]
    assert "authorization is expired" in words(found[3])
    assert "invalid signature" in words(found[4])
    assert "authorization is used" in words(found[6])
    assert chain.payer.balance_of(usdc, PAY_TO) == 1 + 3 + 7 + 8


def test_what_the_gas_does_not_cover_is_not_tried(chain: Chain) -> None:
    key, usdc = chain.contracts.payer_private_key, chain.contracts.usdc.contract
    lines = [line(key, 1, 20 + place) for place in range(3)]
    found, _ = capture(chain, lines, gas_limit=GAS_BEFORE_TRANSFER + 60_000)
    assert found[0].log_index is not None
    assert found[-1] == Outcome(None, b"", is_untried=True)
    assert chain.payer.balance_of(usdc, PAY_TO) == sum(each.log_index is not None for each in found)


def test_a_token_that_is_not_there_is_no_success(chain: Chain) -> None:
    nowhere = encode_capture(PAY_TO, [line(chain.contracts.payer_private_key, 1, 30)])
    for data in (nowhere, encode_call("capture(address,bytes32[])", PAY_TO, [bytes(32)])):
        sent = chain.payer.send_data(CAPTURE.address, data, gas_limit=500_000)
        chain.mine()
        receipt = chain.payer.rpc.call("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x0"


def test_many_share_what_a_transaction_costs(chain: Chain) -> None:
    key = chain.contracts.payer_private_key
    capture(chain, [line(key, 1, 40)])
    _, alone = capture(chain, [line(key, 1, 41)])
    _, hundred = capture(chain, [line(key, 1, 50 + place) for place in range(100)])
    assert hundred / 100 < 0.65 * alone
