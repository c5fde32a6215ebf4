"""Payloads of batch-settlement as they come."""

from typing import Any

import msgspec
import pytest
from tests.core.test_escrow import CONFIG, SIGNATURE

from sakk.core import evm
from sakk.core.escrow import AMOUNT_MAX, Authorization, Claim, PermitAuthorization
from sakk.core.escrow_wire import Payload, read_amount, read_payload
from sakk.core.x402 import Invalid

WIRE = {
    "payer": evm.checksum_address(CONFIG.payer),
    "payerAuthorizer": evm.checksum_address(CONFIG.payer_authorizer),
    "receiver": CONFIG.receiver,
    "receiverAuthorizer": CONFIG.receiver_authorizer,
    "token": CONFIG.token,
    "withdrawDelay": CONFIG.withdraw_delay,
    "salt": "0x" + CONFIG.salt.hex(),
}
SIGNED = "0x" + SIGNATURE.hex()


def payload(**fields: Any) -> Payload:
    return read_payload(msgspec.json.encode({"type": "voucher", "unknown": 1} | fields))


def test_a_channel_s_configuration() -> None:
    config = payload(channelConfig=WIRE).channel_config
    assert config is not None
    assert config.read() == CONFIG
    unnamed = payload(channelConfig=WIRE | {"payerAuthorizer": evm.ZERO_ADDRESS}).channel_config
    assert unnamed is not None
    assert unnamed.read().voucher_signer == CONFIG.payer


@pytest.mark.parametrize(
    "change",
    [
        {"payer": evm.ZERO_ADDRESS},
        {"receiver": "0x1"},
        {"salt": "0x00"},
    ],
)
def test_another_configuration_is_refused(change: dict[str, Any]) -> None:
    config = payload(channelConfig=WIRE | change).channel_config
    assert config is not None
    with pytest.raises(ValueError):
        config.read()


def test_a_deposit_and_a_claim() -> None:
    authorization = {
        "validAfter": "1",
        "validBefore": "2",
        "salt": "0x" + "00" * 31 + "03",
        "signature": SIGNED,
    }
    deposit = {"amount": "9", "authorization": {"erc3009Authorization": authorization}}
    read = payload(deposit=deposit).deposit
    assert read is not None
    assert read.authorization.erc3009_authorization is not None
    found = read.authorization.erc3009_authorization.read()
    assert found == Authorization(1, 2, 3, SIGNATURE)
    permit = {
        "from": WIRE["payer"],
        "permitted": {"token": WIRE["token"], "amount": "9"},
        "spender": WIRE["payer"],
        "nonce": "7",
        "deadline": "8",
        "witness": {"channelId": "0x" + "00" * 32},
        "signature": SIGNED,
    }
    other = payload(deposit=deposit | {"authorization": {"permit2Authorization": permit}}).deposit
    assert other is not None
    assert other.authorization.permit2_authorization is not None
    assert other.authorization.permit2_authorization.payer == WIRE["payer"]
    assert other.authorization.permit2_authorization.read() == PermitAuthorization(7, 8, SIGNATURE)
    claim = {
        "voucher": {"channel": WIRE, "maxClaimableAmount": "5"},
        "signature": SIGNED,
        "totalClaimed": "4",
    }
    assert [each.read() for each in payload(claims=[claim]).claims] == [
        Claim(CONFIG, 5, SIGNATURE, 4)
    ]


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"type":1}', b'{"type":"voucher","voucher":{}}'])
def test_what_is_no_payload(raw: bytes) -> None:
    with pytest.raises(ValueError):
        read_payload(raw)


def test_amounts_are_of_128_bits() -> None:
    assert read_amount(str(AMOUNT_MAX), "amount") == AMOUNT_MAX
    with pytest.raises(ValueError, match="128 bits"):
        read_amount(str(AMOUNT_MAX + 1), "amount")
    with pytest.raises(Invalid):
        read_amount("-1", "amount")
