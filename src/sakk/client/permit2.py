"""Pay by Permit2 with a coin that has no EIP-3009: what is signed, and the approval it needs.

Uniswap's ``PermitWitnessTransferFrom`` with x402's witnesses (``specs/schemes/exact`` and
``specs/schemes/batch-settlement``, EVM): the coins go to the address, or into the channel, that was
signed and nowhere else. The payer has to have approved Permit2 for the coin, once, by a transaction
of its own; a node says whether it has, before anything is signed.
"""

import secrets
import threading
from collections.abc import Generator, Sequence
from typing import Any, Final

from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from sakk.client.wallet_node import NodeAway, ask_node, eth_call, word
from sakk.client.wallet_policy import Policy
from sakk.client.wallet_step import Step
from sakk.client.x402 import Requirement

METHOD: Final = "permit2"
PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
EXACT_PROXY: Final = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"
DEPOSIT_COLLECTOR: Final = "0x4020425FAf3B746C082C2f942b4E5159887B0005"
# allowance(address,address)
_ALLOWANCE: Final = "0xdd62ed3e"
_DOMAIN: Final = [
    {"name": "name", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
_PERMITTED: Final = [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}]
_WITNESS: Final = [{"name": "to", "type": "address"}, {"name": "validAfter", "type": "uint256"}]
_CHANNEL: Final = [{"name": "channelId", "type": "bytes32"}]


class Approvals:
    """How much of each coin Permit2 may take from one payer, by the nodes that it trusts.

    Threads may share it. A question is asked anew for every challenge: an approval is used up, and
    can be taken back.
    """

    def __init__(self, payer: str, policy: Policy) -> None:
        self._payer = payer
        self._nodes = policy.nodes
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], int] = {}

    def look(self, offers: Sequence[Requirement]) -> Generator[Step, Any, None]:
        """Ask what offers by Permit2 need to know."""
        wanted = {(one.network, one.asset) for one in offers if is_by_permit2(one)}
        for network, asset in sorted(wanted):
            node = self._nodes.get(network)
            if node is None:
                continue
            data = _ALLOWANCE + word(self._payer) + word(PERMIT2)
            try:
                [answer] = yield from ask_node(node, [eth_call(asset, data)])
                allowed: int | None = int(answer, 16)
            except (NodeAway, ValueError):
                allowed = None
            with self._lock:
                self._known.pop((network, asset), None)
                if allowed is not None:
                    self._known[network, asset] = allowed

    def refuses(self, offer: Requirement, units: int) -> str | None:
        """Why so much can not be taken by Permit2, and what to do about it; None if it can."""
        with self._lock:
            allowed = self._known.get((offer.network, offer.asset))
        if allowed is None and offer.network not in self._nodes:
            return (
                "Permit2 needs an approval, and nobody says whether it is there: name a node of "
                f"{offer.network} in the policy (nodes)"
            )
        if allowed is None:
            return f"the node of {offer.network} does not say whether Permit2 is approved"
        if allowed < units:
            return (
                f"Permit2 may take {allowed} of the coin and {units} are needed: approve it once, "
                f"by approve({PERMIT2}, amount) at {offer.asset} from {self._payer}"
            )
        return None


def is_by_permit2(offer: Requirement) -> bool:
    return offer.extra.get("assetTransferMethod") == METHOD


def sign_transfer(
    account: LocalAccount, offer: Requirement, chain_id: int, *, valid_after: int, deadline: int
) -> dict[str, Any]:
    """The payload of ``exact`` by Permit2."""
    witness = {"to": offer.pay_to, "validAfter": str(valid_after)}
    permit = _permit(account, offer, offer.units, EXACT_PROXY, deadline) | {"witness": witness}
    signed = {"to": offer.pay_to, "validAfter": valid_after}
    signature = _sign(account, permit, chain_id, "Witness", _WITNESS, signed)
    return {"signature": signature, "permit2Authorization": permit}


def sign_deposit(
    account: LocalAccount,
    offer: Requirement,
    chain_id: int,
    *,
    channel: str,
    units: int,
    deadline: int,
) -> dict[str, Any]:
    """The ``authorization`` of a deposit by Permit2."""
    permit = _permit(account, offer, units, DEPOSIT_COLLECTOR, deadline)
    permit["witness"] = witness = {"channelId": channel}
    permit["signature"] = _sign(account, permit, chain_id, "DepositWitness", _CHANNEL, witness)
    return {"permit2Authorization": permit}


def _permit(
    account: LocalAccount, offer: Requirement, units: int, spender: str, deadline: int
) -> dict[str, Any]:
    return {
        "from": str(account.address),
        "permitted": {"token": offer.asset, "amount": str(units)},
        "spender": spender,
        "nonce": str(secrets.randbits(256)),
        "deadline": str(deadline),
    }


def _sign(
    account: LocalAccount,
    permit: dict[str, Any],
    chain_id: int,
    name: str,
    fields: list[dict[str, str]],
    witness: dict[str, Any],
) -> str:
    permitted = permit["permitted"]
    document = {
        "types": {
            "EIP712Domain": _DOMAIN,
            "TokenPermissions": _PERMITTED,
            name: fields,
            "PermitWitnessTransferFrom": [
                {"name": "permitted", "type": "TokenPermissions"},
                {"name": "spender", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "witness", "type": name},
            ],
        },
        "primaryType": "PermitWitnessTransferFrom",
        "domain": {"name": "Permit2", "chainId": chain_id, "verifyingContract": PERMIT2},
        "message": {
            "permitted": {"token": permitted["token"], "amount": int(permitted["amount"])},
            "spender": permit["spender"],
            "nonce": int(permit["nonce"]),
            "deadline": int(permit["deadline"]),
            "witness": witness,
        },
    }
    signed = account.sign_message(encode_typed_data(full_message=document))
    return "0x" + bytes(signed.signature).hex()
