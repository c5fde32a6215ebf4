"""The door for payers of channels in x402's escrow, who have no API key: what they sign is asked.

Amounts are strings here, as in every message of HTTP 402. Everything may be sent again.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import StringConstraints

from sakk.api.answer import encode, refusal
from sakk.api.body import OCTETS, read_body
from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.parameters import Identifier, LongText, Strict, validate
from sakk.api.pipeline import Request
from sakk.api.session import Deadline, NetworkName, SignatureHex, Whole, parse_signer
from sakk.core import escrow_payer as rules
from sakk.core.errors import MethodNotAllowed
from sakk.core.escrow_channel import EscrowChannel
from sakk.core.peer import client_address
from sakk.flow import escrow_payer as flow
from sakk.flow.idempotency import Answer

BODY_BYTES_MAX: Final = 8_192
PATHS: Final = (
    "/x402/escrow_channels/query",
    "/x402/escrow_channels/receipts",
    "/x402/escrow_channels/disputes",
    "/x402/escrow_channels/disputes/withdraw",
)

ChannelName = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]


class EscrowRead(Strict):
    """``Read`` with its signature."""

    network: NetworkName
    channel: ChannelName
    signer: Identifier
    deadline: Deadline
    signature: SignatureHex


class EscrowDispute(EscrowRead):
    """``Dispute`` with its signature; an amount of 0 is all of the charge."""

    ceiling: Whole
    amount: Whole = "0"
    reason: LongText


class EscrowDisputeWithdraw(EscrowRead):
    """``Withdraw`` with its signature."""

    dispute: Identifier


class EscrowPayerDoor:
    """Answers payers; safe to call from many threads."""

    def __init__(self, dependencies: Dependencies, limits: Limits) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._does: dict[str, Callable[[Request], Answer]] = {
            PATHS[0]: self._query,
            PATHS[1]: self._receipts,
            PATHS[2]: self._dispute,
            PATHS[3]: self._withdraw,
        }

    def answer(self, request: Request) -> Answer:
        """One request's answer; every error becomes one too."""
        settings = self._dependencies.settings
        try:
            self._limits.count_signed(
                client_address(
                    request.peer, request.headers.get("x-forwarded-for"), settings.trusted_proxies
                )
            )
            if request.method != "POST":
                raise MethodNotAllowed(f"There is no GET {request.path}. POST what is signed.")
            return self._does[request.path](request)
        except Exception as error:
            return refusal(error, request_id=request.request_id, public_url=settings.public_url)

    def _query(self, request: Request) -> Answer:
        channel, _, _ = self._signed("Read", EscrowRead, request)
        return Answer(200, encode(flow.standing(self._dependencies.parts, channel)))

    def _receipts(self, request: Request) -> Answer:
        channel, _, _ = self._signed("Read", EscrowRead, request)
        content = flow.receipts(self._dependencies.parts, channel)
        name = f'attachment; filename="{channel.id}.jsonl"'
        return Answer(200, b"", media_type=OCTETS, disposition=name, stream=content)

    def _dispute(self, request: Request) -> Answer:
        channel, message, signature = self._signed("Dispute", EscrowDispute, request)
        parts = self._dependencies.parts
        opened = flow.open_dispute(parts, channel, message, signature)
        return Answer(200, encode(rules.told(opened)))

    def _withdraw(self, request: Request) -> Answer:
        channel, message, _ = self._signed("Withdraw", EscrowDisputeWithdraw, request)
        ended = flow.withdraw_dispute(self._dependencies.parts, channel, message["dispute"])
        return Answer(200, encode(rules.told(ended)))

    def _signed(
        self, kind: str, model: type[Strict], request: Request
    ) -> tuple[EscrowChannel, dict[str, Any], str]:
        """The channel that a signed body is about, what was signed, and the signature."""
        tree, typed = read_body(request.body, request.headers.get("content-type"))
        message = validate(model, tree, strict=typed).model_dump()
        signature = message.pop("signature")
        message["signer"] = parse_signer(message["signer"])
        channel = flow.read_signed(self._dependencies.parts, kind, message, signature)
        return channel, message, signature
