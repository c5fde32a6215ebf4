"""A hub on a local chain, deposit addresses that pay to it, and the keys of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account

from sakk.core import evm, hub
from sakk.core.authorization import Authorization, SignedAuthorization
from sakk.core.hub import Item
from sakk.rails.evm.contract import contract_address, deployment
from sakk.rails.evm.hub import delegate_of
from tests.chain import Chain

DAY_SECONDS = 86_400
COLD_KEY = "0x" + "c0" * 32
DEPLOY_GAS_LIMIT = 3_000_000
ETHER = 10**18


@dataclass(frozen=True, slots=True)
class DeployedHub:
    """A hub of a test. The cold key has native coin for its own calls."""

    chain: Chain
    address: str
    delegate: str
    treasury: str

    def cold_call(self, signature: str, *arguments: Any, to: str | None = None) -> None:
        """A call of the hub, or of another contract, by the cold key, mined."""
        wallet = self.chain.wallet(COLD_KEY)
        transaction = wallet.call_contract(to or self.address, signature, *arguments)
        self.chain.mine()
        wallet.wait(transaction)


def deploy_hub(chain: Chain, *, treasury: str, collector: str) -> DeployedHub:
    """Create a hub and its delegate with CREATE2, and mine them."""
    cold = chain.wallet(COLD_KEY)
    arguments = (treasury, collector, cold.address, DAY_SECONDS)
    address = contract_address("Hub", *arguments)
    chain.payer.send_native(cold.address, ETHER)
    for data in (deployment("Hub", *arguments), deployment("DepositDelegate", address)):
        chain.payer.send_data(evm.CREATE2_DEPLOYER, data, gas_limit=DEPLOY_GAS_LIMIT)
    chain.mine()
    return DeployedHub(chain, address, delegate_of(address), treasury.lower())


def authorize(private_key: str, delegate: str, *, nonce: int = 0) -> SignedAuthorization:
    """An authorization for every chain, as eth-account signs it."""
    signed = Account.from_key(private_key).sign_authorization(
        {"chainId": 0, "address": bytes.fromhex(delegate[2:]), "nonce": nonce}
    )
    return SignedAuthorization(
        authorization=Authorization(chain_id=0, address=delegate, nonce=nonce),
        signature=evm.Signature(y_parity=signed.y_parity, r=signed.r, s=signed.s),
    )


def collect(
    chain: Chain,
    deployed: DeployedHub,
    items: Sequence[Item],
    authorizations: Sequence[SignedAuthorization] = (),
    *,
    gas_limit: int = hub.TRANSACTION_GAS_MAX,
    must_succeed: bool = True,
) -> dict[str, Any]:
    """One call of the hub by the payer, signed by eth-account, and mined; the receipt."""
    payer = chain.payer
    nonce = int(chain.rpc.call("eth_getTransactionCount", payer.address, "pending"), 16)
    fields: dict[str, Any] = {
        "type": 4 if authorizations else 2,
        "chainId": chain.contracts.chain_id,
        "nonce": nonce,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
        "gas": gas_limit,
        "to": evm.checksum_address(deployed.address),
        "value": 0,
        "data": hub.encode_sweep(items),
    }
    if authorizations:
        fields["authorizationList"] = [
            {
                "chainId": each.authorization.chain_id,
                "address": bytes.fromhex(each.authorization.address[2:]),
                "nonce": each.authorization.nonce,
                "yParity": each.signature.y_parity,
                "r": each.signature.r,
                "s": each.signature.s,
            }
            for each in authorizations
        ]
    signed = Account.from_key(payer.private_key).sign_transaction(fields)
    sent = chain.rpc.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    payer.forget_nonce()
    chain.mine()
    return payer.wait(sent, must_succeed=must_succeed)
