"""Deposits by Permit2: as x402's own client signs them, for a token without ERC-3009."""

import copy
import json
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.test_escrow import settle
from x402.mechanisms.evm.batch_settlement.client.scheme import BatchSettlementEvmScheme
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.schemas import PaymentRequirements

from sakk.client.permit2 import Approvals
from sakk.client.wallet_escrow import Escrow
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.x402 import Requirement
from sakk.core import evm
from sakk.core.escrow_channel import SCHEME, Refusal
from sakk.core.permit2 import PERMIT2
from sakk.core.x402 import Request, read_request
from sakk.flow.escrow import OWN, EscrowFacilitator, Ordered
from sakk.flow.escrow_channel import terms
from sakk.flow.voucher import Vouchers
from sakk.store import escrow_channel as store

PRICE = 1_000
ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "permit2_client.mjs"


class Buyer:
    """A key with USDT, in the hands of x402's own client."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = Account.from_key("0x" + secrets.token_hex(32))
        self.terms = terms(
            world.parts,
            world.account,
            network=world.chain.network,
            asset=world.asset("usdt"),
            livemode=False,
        )
        self.client = BatchSettlementEvmScheme(EthAccountSigner(self.account))
        world.chain.issuer.transfer(world.contract("usdt"), self.account.address, WHOLE_TOKEN)
        world.chain.rpc.call("anvil_setBalance", self.account.address, hex(10**20))
        world.mine()

    @property
    def wanted(self) -> dict[str, Any]:
        return {
            "scheme": SCHEME,
            "network": self.terms.network.network,
            "asset": evm.checksum_address(self.terms.asset.contract or ""),
            "amount": str(PRICE),
            "payTo": evm.checksum_address(self.terms.receiver),
            "maxTimeoutSeconds": 600,
            "extra": {
                "channels": OWN,
                "assetTransferMethod": "permit2",
                "receiverAuthorizer": evm.checksum_address(self.terms.authorizer),
                "withdrawDelay": self.terms.withdraw_delay,
            },
        }

    def signed(self) -> dict[str, Any]:
        requirements = PaymentRequirements.model_validate(self.wanted)
        payload: dict[str, Any] = self.client.create_payment_payload(requirements)
        return payload

    def signed_in_typescript(self) -> dict[str, Any]:
        """The same by x402's client of npm, which asks the chain how the channel stands."""
        asked = {
            "privateKey": "0x" + bytes(self.account.key).hex(),
            "rpc": self.world.chain.rpc_url,
            "requirements": self.wanted,
        }
        ran = subprocess.run(
            ["node", str(SCRIPT), json.dumps(asked)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        payload: dict[str, Any] = json.loads(ran.stdout)
        return payload

    def request(self, payload: dict[str, Any]) -> Request:
        wanted = self.wanted
        payment = {"x402Version": 2, "accepted": wanted, "payload": payload}
        message = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": wanted}
        return read_request(msgspec.json.encode(message))

    def approve(self) -> None:
        wallet = self.world.chain.wallet(self.account.key.hex())
        approved = ("approve(address,uint256)", evm.checksum_address(PERMIT2), 10**12)
        wallet.call_contract(self.world.contract("usdt"), *approved)
        self.world.mine()


@pytest.fixture
def buyer(make_world: MakeWorld) -> Buyer:
    return Buyer(make_world())


def changed(payload: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """The payload with one field of its permit changed; ``a.b`` is the field b of a."""
    altered = copy.deepcopy(payload)
    place = altered["deposit"]["authorization"]["permit2Authorization"]
    *path, name = field.split(".")
    for step in path:
        place = place[step]
    place[name] = value
    return altered


def test_their_client_deposits_by_permit2(buyer: Buyer) -> None:
    world = buyer.world
    facilitator = EscrowFacilitator(world.parts)
    how: dict[str, Any] = {"livemode": False, "account": world.account}
    payload = buyer.signed()
    assert payload["type"] == "deposit"
    # Nothing of it moves before its payer has approved Permit2, and it is told so.
    found = facilitator.verify(buyer.request(payload), **how)
    assert (found.is_valid, found.invalid_reason) == (False, Refusal.permit2_allowance)
    assert PERMIT2[2:] in (found.invalid_message or "").lower()
    buyer.approve()
    assert facilitator.verify(buyer.request(payload), **how).is_valid

    other = "0x" + "78" * 20
    refused = {
        Refusal.permit2_signature: changed(payload, "from", other),
        Refusal.permit2_spender: changed(payload, "spender", other),
        Refusal.token_mismatch: changed(payload, "permitted.token", other),
        Refusal.permit2_amount: changed(payload, "permitted.amount", "1"),
        Refusal.id_mismatch: changed(payload, "witness.channelId", "0x" + "78" * 32),
        Refusal.permit2_expired: changed(payload, "deadline", "1"),
        Refusal.erc3009_required: payload | {"deposit": {"amount": "1", "authorization": {}}},
    }
    for code, altered in refused.items():
        answer = facilitator.verify(buyer.request(altered), **how)
        assert answer.invalid_reason == code, answer
    forged = changed(payload, "signature", "0x" + "11" * 64 + "1b")
    told = facilitator.begin(buyer.request(forged), **how)
    assert not isinstance(told, Ordered)
    assert "deposit_simulation_failed" in (told.error_reason or "")

    ordered = facilitator.begin(buyer.request(payload), **how)
    assert isinstance(ordered, Ordered), ordered
    # The same again is the same call.
    again = facilitator.begin(buyer.request(payload), **how)
    assert isinstance(again, Ordered)
    assert again.call == ordered.call
    settle(world)
    done = ordered.finish()
    assert done.success, done
    [channel] = store_channels(world)
    totals = Vouchers(world.parts).totals(channel)
    assert (totals.charged, totals.balance) == (PRICE, int(payload["deposit"]["amount"]))
    world.check()


@pytest.mark.skipif(
    shutil.which("node") is None or not (ROOT / "node_modules").is_dir(),
    reason="needs Node.js and `npm ci`",
)
def test_their_typescript_client_deposits_by_permit2(buyer: Buyer) -> None:
    world = buyer.world
    how: dict[str, Any] = {"livemode": False, "account": world.account}
    facilitator = EscrowFacilitator(world.parts)
    buyer.approve()
    payload = buyer.signed_in_typescript()
    assert "permit2Authorization" in payload["deposit"]["authorization"]
    assert facilitator.verify(buyer.request(payload), **how).is_valid
    ordered = facilitator.begin(buyer.request(payload), **how)
    assert isinstance(ordered, Ordered), ordered
    settle(world)
    done = ordered.finish()
    assert done.success, done
    # With the deposit on the chain it goes on by vouchers alone.
    then = buyer.signed_in_typescript()
    assert (then["type"], "deposit" in then) == ("voucher", False)
    [channel] = store_channels(world)
    totals = Vouchers(world.parts).totals(channel)
    assert (totals.charged, totals.balance) == (PRICE, int(payload["deposit"]["amount"]))
    world.check()


def store_channels(world: World) -> list[Any]:
    with world.database.begin() as connection:
        return list(store.channels_of(connection, world.chain.network))


def test_our_own_wallet_signs_such_a_deposit_too(buyer: Buyer) -> None:
    world = buyer.world
    buyer.approve()
    policy = Policy(assets=[Asset(buyer.terms.network.network, buyer.wanted["asset"], "usdt", 6)])
    wallet = Escrow(buyer.account, policy, Approvals(buyer.account.address, policy))
    offer = msgspec.convert(buyer.wanted, Requirement)
    payload = wallet.sign(offer, deposit=10 * PRICE, now=int(world.clock().timestamp()))
    request = buyer.request(payload)
    found = EscrowFacilitator(world.parts).verify(request, livemode=False, account=world.account)
    assert found.is_valid, found
