"""A payer of channels in x402's escrow asks the Sakk that keeps them, by its signature alone::

    payer = EscrowPayer("https://sakk.example", "0x…")
    payer.standing("0x…")                        # what is deposited, signed, charged, claimed
    Path("receipts.jsonl").write_text(payer.receipts("0x…"))

``python -m sakk.client.escrow_receipt`` checks the file alone and offline. The key is the channel's
payer, or the one that it names as its ``payerAuthorizer``; the channel's name is the contract's.
"""

import time
from typing import Any, Final

import httpx2
from eth_account.messages import encode_typed_data

from sakk.client.exact import account_of

TIMEOUT_SECONDS: Final = 30.0
DEADLINE_SECONDS: Final = 300
DOMAIN: Final = {"name": "Sakk escrow", "version": "1"}
FIELDS: Final[dict[str, list[tuple[str, str]]]] = {
    "Read": [],
    "Dispute": [("ceiling", "uint256"), ("amount", "uint256"), ("reason", "string")],
    "Withdraw": [("dispute", "string")],
}


class EscrowPayerError(Exception):
    """The Sakk did not answer, or refused; the message says why."""


class EscrowPayer:
    """What a payer may ask of one installation."""

    def __init__(self, url: str, key: str | bytes, *, http: httpx2.Client | None = None) -> None:
        self._url = url.rstrip("/")
        self._account = account_of(key)
        self._http = http or httpx2.Client(timeout=TIMEOUT_SECONDS)
        self._network: str | None = None

    def __enter__(self) -> "EscrowPayer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def standing(self, channel: str) -> dict[str, Any]:
        """Where a channel stands by the ledger; amounts are decimal strings."""
        document: dict[str, Any] = self._ask("query", "Read", channel).json()
        return document

    def receipts(self, channel: str) -> str:
        """All receipts of a channel, a line of JSON each, as both sides signed them."""
        return self._ask("receipts", "Read", channel).text

    def dispute(
        self, channel: str, ceiling: int, reason: str, *, amount: int = 0
    ) -> dict[str, Any]:
        """Say that a charge was not what was paid for: all of it, or ``amount``.

        ``ceiling``: the total of the voucher that paid it, as its receipt says.
        """
        said = {"ceiling": ceiling, "amount": amount, "reason": reason}
        document: dict[str, Any] = self._ask("disputes", "Dispute", channel, **said).json()
        return document

    def withdraw(self, channel: str, dispute: str) -> dict[str, Any]:
        """Take a dispute back."""
        where = "disputes/withdraw"
        document: dict[str, Any] = self._ask(where, "Withdraw", channel, dispute=dispute).json()
        return document

    def authority(self) -> str:
        """The key by which the installation signs, in hexadecimal."""
        return str(self._about()["authority"])

    def _about(self) -> dict[str, Any]:
        document: dict[str, Any] = self._sent("GET", "/x402/sessions", None).json()
        return document

    def signed(self, kind: str, channel: str, **said: Any) -> dict[str, Any]:
        """A message as it is sent, with its signature; worth nothing after five minutes."""
        if self._network is None:
            self._network = str(self._about()["network"])
        message = {
            "network": self._network,
            "channel": channel.lower(),
            "signer": str(self._account.address),
            **said,
            "deadline": int(time.time()) + DEADLINE_SECONDS,
        }
        signable = encode_typed_data(full_message=typed_data(kind, message))
        # Amounts are strings in every message of HTTP 402.
        amounts = {name: str(message[name]) for name in ("ceiling", "amount") if name in message}
        signature = self._account.sign_message(signable).signature.hex()
        return message | amounts | {"signature": signature}

    def _ask(self, what: str, kind: str, channel: str, **said: Any) -> httpx2.Response:
        body = self.signed(kind, channel, **said)
        return self._sent("POST", f"/x402/escrow_channels/{what}", body)

    def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Response:
        url = self._url + path
        try:
            answer = self._http.request(method, url, json=body)
            if answer.status_code == httpx2.codes.OK:
                return answer
            said = answer.json()["error"]["message"]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EscrowPayerError(f"{url} did not answer: {error}") from error
        raise EscrowPayerError(f"{url} refuses ({answer.status_code}): {said}")


def typed_data(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    """The document that is signed (``eth_signTypedData_v4``)."""
    fields = [("network", "string"), ("channel", "bytes32"), ("signer", "address")]
    fields += [*FIELDS[kind], ("deadline", "uint64")]
    return {
        "domain": dict(DOMAIN),
        "primaryType": kind,
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
            ],
            kind: [{"name": name, "type": type_} for name, type_ in fields],
        },
        "message": message,
    }
