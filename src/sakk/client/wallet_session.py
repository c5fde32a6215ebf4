"""Pay by ``session``: one MAC a call, under a ceiling that is signed in steps.

A channel to each seller is opened when it is first paid, and raised by a step when calls have used
up what was signed. What may be lost to a channel is its unspent step; the budget counts a step when
it is signed. Calls run in parallel: each takes its amount from the ceiling before it is sent.
"""

import base64
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from sakk.client.session import (
    NO_BODY,
    NONCE_MAX,
    SCHEME,
    request_hash,
    typed_data,
)
from sakk.client.wallet_call import Call, Channel, sign_call, verifies
from sakk.client.wallet_log import (
    BudgetExceeded,
    Limits,
    PaymentLog,
    Receipt,
    State,
    new_id,
    now_ms,
    settled,
)
from sakk.client.wallet_payment import (
    PAYMENT_STATUS,
    AskedAgain,
    Order,
    PaymentRefused,
    Payments,
    PaymentUnknown,
    WalletError,
    challenge_of,
    path_of,
    settlement_of,
    target_of,
    with_payment,
)
from sakk.client.wallet_policy import Asset, Policy
from sakk.client.wallet_step import Answer, Ask, Enter, Leave, NoAnswer, Read, Send, Step
from sakk.client.x402 import Requirement, X402Error, encode_header

OPEN_PATH: Final = "/x402/sessions"
VOUCHER_PATH: Final = "/x402/vouchers"
QUERY_PATH: Final = "/x402/sessions/query"
CLOSE_PATH: Final = "/x402/sessions/close"
TRIALS_MAX: Final = 3
DEADLINE_SECONDS: Final = 300
# Refusals of a call, as the authority names them (docs/reference/session-scheme.md).
CHANNEL_OVER: Final = frozenset(
    {"session_unknown", "session_expired", "channel_closed", "mac_invalid"}
)
CEILING_LOW: Final = frozenset({"ceiling_exceeded"})
FINAL: Final = frozenset({"nonce_used", "over_limit"})
NO_LIMITS: Final = Limits(per_call=None, total=None)
# How many prices of paths are kept, to pay ahead of being asked.
REMEMBERED_MAX: Final = 4_096
_NETWORK: Final = "sakk:"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A step that was signed, of which no answer came; ``channel``: "" where it was to open one."""

    channel: str
    units: int
    receipt: Receipt
    body: dict[str, Any]


class Sessions:
    """The channels of a wallet, by authority, seller and currency. Threads may share it."""

    name = SCHEME

    def __init__(self, account: LocalAccount, policy: Policy) -> None:
        self._account = account
        self._policy = policy
        self._lock = threading.Lock()
        self._channels: dict[tuple[str, str, str], Channel] = {}
        self._prices: OrderedDict[tuple[str, str], Requirement] = OrderedDict()
        self._unanswered: dict[tuple[str, str, str], _Asked] = {}

    def asset_of(self, offer: Requirement) -> Asset | None:
        if not offer.network.startswith(_NETWORK):
            return None
        found = (one for one in self._policy.assets if one.currency == offer.asset)
        one = next(found, None)
        return (
            None if one is None else Asset(offer.network, offer.asset, one.currency, one.decimals)
        )

    def takes(self, offer: Requirement) -> int:
        if self.refuses(offer):
            return offer.units
        channel, asked = self.channel(offer), self._unanswered.get(self.place(offer))
        left = 0 if channel is None else channel.signed - channel.taken
        # What is asked for again was taken from the budget the first time.
        is_asked = asked is not None and asked.units >= offer.units - left
        return 0 if left >= offer.units or is_asked else offer.units

    def refuses(self, offer: Requirement) -> str | None:
        authority = offer.extra.get("authority")
        if not isinstance(authority, str) or authority.rstrip("/") not in self._authorities():
            return "the Sakk that keeps the session (extra.authority) is not in the policy"
        if not offer.pay_to.startswith("acct_"):
            return "payTo is no account"
        return None

    def remember(self, method: str, path: str, offer: Requirement) -> None:
        """What a path costs, so that the next call pays without being asked."""
        with self._lock:
            self._prices[method, path] = offer
            self._prices.move_to_end((method, path))
            while len(self._prices) > REMEMBERED_MAX:
                self._prices.popitem(last=False)

    def forget(self, method: str, path: str) -> None:
        with self._lock:
            self._prices.pop((method, path), None)

    def remembered(self, method: str, path: str) -> Requirement | None:
        return self._prices.get((method, path))

    def place(self, offer: Requirement) -> tuple[str, str, str]:
        """Where an offer's channel is kept."""
        return str(offer.extra["authority"]).rstrip("/"), offer.pay_to, offer.asset

    def channel(self, offer: Requirement) -> Channel | None:
        with self._lock:
            found = self._channels.get(self.place(offer))
            if found is not None and found.expires <= time.time():
                del self._channels[self.place(offer)]
                return None
            return found

    def drop(self, offer: Requirement, channel: Channel) -> None:
        """Forget a channel that the authority does not know any more."""
        with self._lock:
            if self._channels.get(self.place(offer)) is channel:
                del self._channels[self.place(offer)]

    def pay(self, payments: Payments, order: Order) -> Generator[Step, Any, Receipt]:
        """One call under the ceiling; raises AskedAgain where another try can be made."""
        ask, offer = order.ask, order.offer
        try:
            channel, nonce = yield from self.ready(
                offer, order.asset, payments.log, payments.policy.limits, order.host
            )
        except (X402Error, NoAnswer) as error:
            raise WalletError(f"no session could be opened or raised: {error}") from error
        body_hash = hashlib.sha256(ask.body).digest() if ask.body else None
        request = request_hash(ask.method, target_of(ask.url), body_hash or NO_BODY)
        call = sign_call(channel, offer, nonce=nonce, request=request, body_hash=body_hash)
        receipt = replace(
            payments.receipt_of(order),
            counts=False,
            request_hash=request.hex(),
            transaction=f"{channel.session}:{nonce}",
        )
        header = encode_header(call.document)
        if order.key is not None:
            begun = payments.log.begin(receipt, header, host=order.host, limits=NO_LIMITS)
            if begun.id != receipt.id:
                self.refused(channel, offer.units)
                self.answered(channel, offer.units)
                header = payments.log.header_of(begun.id) or header
                return (yield from payments.carry(ask, begun, header))
        try:
            receipt = yield from self._carry(payments, order, receipt, header, call)
        finally:
            self.answered(channel, offer.units)
        self.remember(ask.method, path_of(ask.url), offer)
        return receipt

    def _carry(
        self, payments: Payments, order: Order, receipt: Receipt, header: str, call: Call
    ) -> Generator[Step, Any, Receipt]:
        """Send a call, and read what became of it: another try where the session has to move on."""
        ask, began = order.ask, time.monotonic()
        try:
            answer: Answer = yield Send(with_payment(ask, header))
        except NoAnswer as error:
            lost = settled(receipt, State.unknown, settlement=None, said=str(error))
            raise PaymentUnknown(
                f"no answer to a paid request ({error})", payments.note(lost)
            ) from error
        settlement = settlement_of(answer)
        if settlement is not None and settlement.get("success") is True:
            took = int(1_000 * (time.monotonic() - began))
            payments.latencies.saw(order.host, receipt.scheme, receipt.network, took)
            verified = verifies(call, order.offer, settlement.get("receipt"))
            paid = settled(receipt, State.paid, settlement=settlement)
            return payments.note(replace(paid, is_verified=verified))
        if answer.status != PAYMENT_STATUS:
            said = f"status {answer.status} without a receipt"
            return payments.note(settled(receipt, State.unknown, settlement=settlement, said=said))
        challenge = yield from challenge_of(answer)
        self.forget(ask.method, path_of(ask.url))
        said = challenge.error or "no reason was given"
        self.refused(call.channel, call.amount)
        if said in CHANNEL_OVER:
            self.drop(order.offer, call.channel)
        if said in CEILING_LOW:
            self.exhaust(call.channel)
        receipt = payments.note(settled(receipt, State.released, settlement=settlement, said=said))
        if receipt.key is None and ask.body is not None and said not in FINAL:
            raise AskedAgain(challenge)
        raise PaymentRefused(f"{ask.url} did not take the payment: {said}", receipt)

    def ready(
        self, offer: Requirement, asset: Asset, log: PaymentLog, limits: Limits, host: str
    ) -> Generator[Step, Any, tuple[Channel, int]]:
        """A channel with the call's amount taken from it, and a nonce: opens and raises as needed.

        ``host`` is the seller, of whose limit each step takes.

        One caller at a time opens or raises; the others find what it left. Raises BudgetExceeded,
        X402Error where the authority refuses, and NoAnswer.
        """
        authority, payee, currency = self.place(offer)
        name = f"{authority} {payee} {currency}"
        channel = self.channel(offer)
        nonce = None if channel is None else self.take(channel, offer.units)
        if channel is not None and nonce is not None:
            return channel, nonce
        yield Enter(name)
        try:
            channel = self.channel(offer)
            nonce = None if channel is None else self.take(channel, offer.units)
            while channel is None or nonce is None:
                channel = yield from self._step(offer, asset, channel, log, limits, host)
                nonce = self.take(channel, offer.units)
        except GeneratorExit:
            # Nobody asks any more: whoever ran this lets go of what it held.
            raise
        except BaseException:
            yield Leave(name)
            raise
        yield Leave(name)
        return channel, nonce

    def _step(
        self,
        offer: Requirement,
        asset: Asset,
        channel: Channel | None,
        log: PaymentLog,
        limits: Limits,
        host: str,
    ) -> Generator[Step, Any, Channel]:
        """Sign one step more: the budget first, then the authority.

        A channel that an earlier process left open is found by a signed query and gone on with. A
        step of which no answer came is asked for again before another is taken from the budget.
        """
        place = self.place(offer)
        found = None
        if channel is None:
            found = yield from self._lost(offer)
            if found is not None and int(found["available"]) >= offer.units:
                body = self.opening(offer, 0, found)
                said = yield from self._ask(self.place(offer)[0] + OPEN_PATH, body)
                return self.opened(offer, said)
        left = 0 if found is None else int(found["available"])
        short = offer.units - (left if channel is None else channel.signed - channel.taken)
        before = self._unanswered_of(place, channel, short) if found is None else None
        if before is None:
            units, receipt = self._budget(offer, asset, short, log, limits, host)
        else:
            units, receipt = before.units, before.receipt
        if channel is not None:
            body, path = self.voucher(offer, channel, units), VOUCHER_PATH
        elif before is not None and int(before.body["deadline"]) > time.time():
            body, path = before.body, OPEN_PATH
        else:
            body, path = self.opening(offer, units, found), OPEN_PATH
        try:
            said = yield from self._ask(place[0] + path, body)
        except X402Error as error:
            log.update(replace(receipt, state=State.released, said=str(error)))
            raise
        except (NoAnswer, GeneratorExit):
            asked = _Asked("" if channel is None else channel.id, units, receipt, body)
            self._unanswered[place] = asked
            raise
        receipt = log.update(
            replace(receipt, state=State.paid, transaction=str(said.get("channel", "")))
        )
        if channel is None:
            channel = self.opened(offer, said)
        else:
            self.raised(channel, said)
        channel.steps.append(receipt)
        return channel

    def _unanswered_of(
        self, place: tuple[str, str, str], channel: Channel | None, short: int
    ) -> _Asked | None:
        """What was asked for before, if that is what is short now; else it counts as spent."""
        before = self._unanswered.pop(place, None)
        where = "" if channel is None else channel.id
        is_it = before is not None and before.channel == where and before.units >= short
        return before if is_it else None

    def _lost(self, offer: Requirement) -> Generator[Step, Any, dict[str, Any] | None]:
        """A channel to the seller that is open and that this process knows nothing of."""
        authority, payee, currency = self.place(offer)
        message = {
            "network": offer.network,
            "signer": str(self._account.address),
            "channel": "",
            "deadline": int(time.time()) + DEADLINE_SECONDS,
        }
        said = yield from self._ask(authority + QUERY_PATH, self.sign("Query", message))
        for one in said.get("channels", ()):
            if (one.get("status"), one.get("payee"), one.get("currency")) == (
                "open",
                payee,
                currency,
            ) and (one.get("mandate") or "") == self.mandate(authority):
                return dict(one)
        return None

    def _budget(
        self,
        offer: Requirement,
        asset: Asset,
        short: int,
        log: PaymentLog,
        limits: Limits,
        host: str,
    ) -> tuple[int, Receipt]:
        """Units of a step that the budget allows, written down: a whole step, or what is short."""
        step: int = self._policy.step * 10**asset.decimals // asset.micro_usd
        for units in sorted({max(step, short), short}, reverse=True):
            receipt = self._receipt(offer, asset, units)
            try:
                return units, log.begin(receipt, "", host=host, limits=limits)
            except BudgetExceeded:
                if units == short:
                    raise
        raise AssertionError("unreachable: the last one returns or raises")

    def _receipt(self, offer: Requirement, asset: Asset, units: int) -> Receipt:
        authority, payee, _ = self.place(offer)
        return Receipt(
            id=new_id(),
            method="STEP",
            url=authority,
            scheme=SCHEME,
            network=offer.network,
            asset=offer.asset,
            amount=units,
            value=asset.value_of(units),
            payee=payee,
            payer=str(self._account.address),
            state=State.signed,
            created_ms=now_ms(),
            expires_ms=0,
        )

    def _ask(self, url: str, body: dict[str, Any]) -> Generator[Step, Any, dict[str, Any]]:
        """A signed request to the authority, sent again, byte for byte, where no answer came.

        One of 500 and more is none: it may have been done before something failed.
        """
        content = msgspec.json.encode(body)
        ask = Ask("POST", url, {"content-type": "application/json"}, content)
        for trial in range(TRIALS_MAX):
            try:
                answer: Answer = yield Send(ask, is_callers=False)
                document = _document((yield Read()))
            except NoAnswer:
                if trial + 1 == TRIALS_MAX:
                    raise
                continue
            if answer.status >= 500:
                if trial + 1 == TRIALS_MAX:
                    raise NoAnswer(f"{url} failed with status {answer.status}")
                continue
            if 200 <= answer.status < 300:
                return document
            error = document.get("error")
            message = error.get("message") if isinstance(error, dict) else None
            raise X402Error(f"{url} refuses ({answer.status}): {message or 'it does not say why'}")
        raise AssertionError("unreachable: the last trial returns or raises")

    def take(self, channel: Channel, units: int) -> int | None:
        """A nonce, and the units taken from the ceiling; None where the ceiling is too low."""
        with self._lock:
            if channel.taken + units > channel.signed:
                return None
            channel.taken += units
            channel.in_flight += units
            channel.nonce = (channel.nonce + 1) & NONCE_MAX
            return channel.nonce

    def refused(self, channel: Channel, units: int) -> None:
        """Of a call that the authority refused: it took nothing."""
        with self._lock:
            channel.taken -= units

    def answered(self, channel: Channel, units: int) -> None:
        """A call is no longer on its way."""
        with self._lock:
            channel.in_flight -= units

    def exhaust(self, channel: Channel) -> None:
        """The authority says that the ceiling is reached: the next call raises it first."""
        with self._lock:
            channel.taken = max(channel.taken, channel.signed)

    def _authorities(self) -> set[str]:
        return {authority.rstrip("/") for authority in self._policy.authorities}

    def open_channels(self) -> list[tuple[tuple[str, str, str], Channel]]:
        """Every channel of this process, and where it is kept."""
        with self._lock:
            return list(self._channels.items())

    def closing(self, network: str, channel: Channel) -> dict[str, Any]:
        """What closes a channel, and countersigns where it stands."""
        return self.sign(
            "Close",
            {
                "network": network,
                "channel": channel.id,
                "spent": channel.spent,
                "charges": channel.charges,
                "head": bytes.fromhex(channel.head),
                "deadline": int(time.time()) + DEADLINE_SECONDS,
            },
        )

    def closed(
        self, place: tuple[str, str, str], channel: Channel, said: dict[str, Any], log: PaymentLog
    ) -> None:
        """Forget a channel, and give its rest back to the budget, newest step first."""
        with self._lock:
            if self._channels.get(place) is channel:
                del self._channels[place]
        rest = int(said["returned"])
        for step in reversed(channel.steps):
            back = min(rest, step.amount)
            value = step.value - step.value * back // step.amount
            log.update(replace(step, value=value, said=f"{back} units came back"))
            rest -= back

    def mandate(self, authority: str) -> str:
        """The mandate that the wallet acts under at a Sakk; nothing where there is none."""
        for known, mandate in self._policy.authorities.items():
            if known.rstrip("/") == authority:
                return mandate
        return ""

    def sign(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        """A signed request to the authority: the message's fields, and the signature."""
        signable = encode_typed_data(full_message=typed_data(kind, message))
        signed = self._account.sign_message(signable)
        amounts = {"ceiling", "spent"}
        body = {
            name: str(value) if name in amounts else _plain(value)
            for name, value in message.items()
        }
        return body | {"signature": "0x" + bytes(signed.signature).hex()}

    def opening(
        self, offer: Requirement, units: int, found: dict[str, Any] | None
    ) -> dict[str, Any]:
        """What opens a channel to a seller, or a session on one that is there.

        ``units``: how much more may be charged.
        """
        authority, payee, currency = self.place(offer)
        before = 0 if found is None else int(found["ceiling"])
        return self.sign(
            "OpenSession",
            {
                "network": offer.network,
                "signer": str(self._account.address),
                "mandate": self.mandate(authority),
                "channel": "" if found is None else str(found["channel"]),
                "payee": payee,
                "currency": currency,
                "ceiling": before + units,
                "salt": secrets.token_bytes(32),
                "deadline": int(time.time()) + DEADLINE_SECONDS,
            },
        )

    def voucher(self, offer: Requirement, channel: Channel, units: int) -> dict[str, Any]:
        """What raises a channel's ceiling, and countersigns where it stands."""
        return self.sign(
            "Voucher",
            {
                "network": offer.network,
                "channel": channel.id,
                "ceiling": channel.signed + units,
                "spent": channel.spent,
                "charges": channel.charges,
                "head": bytes.fromhex(channel.head),
            },
        )

    def opened(self, offer: Requirement, said: dict[str, Any]) -> Channel:
        """The channel as the authority says that it is open; raises X402Error where it is not."""
        try:
            channel = Channel(
                id=str(said["channel"]),
                session=str(said["session"]),
                key=base64.urlsafe_b64decode(str(said["key"]) + "="),
                signed=int(said["ceiling"]),
                taken=int(said["ceiling"]) - int(said["available"]),
                spent=int(said["spent"]),
                charges=int(said["charges"]),
                head=str(said["head"]),
                nonce=secrets.randbelow(NONCE_MAX),
                expires=int(said["session_expires_at"]),
                network=offer.network,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise X402Error(f"the authority's answer can not be read: {error!r}") from error
        with self._lock:
            self._channels[self.place(offer)] = channel
        return channel

    def raised(self, channel: Channel, said: dict[str, Any]) -> None:
        """Take over what the authority says after a voucher; X402Error where it claims too much."""
        try:
            names = ("ceiling", "available", "spent", "charges")
            ceiling, available, spent, charges = (int(said[name]) for name in names)
            head = str(said["head"])
        except (KeyError, TypeError, ValueError) as error:
            raise X402Error(f"the authority's answer can not be read: {error!r}") from error
        with self._lock:
            if spent > channel.taken:
                raise X402Error(
                    f"the authority says that {spent} units are spent, and {channel.taken} were "
                    "signed for: query the channel's receipts and dispute it"
                )
            channel.signed = max(channel.signed, ceiling)
            # Calls that cost less than they reserved leave more than was thought.
            channel.taken = ceiling - available + channel.in_flight
            channel.spent, channel.charges, channel.head = spent, charges, head


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return {}
    return document if isinstance(document, dict) else {}


def _plain(value: Any) -> Any:
    """A field of a signed message in JSON: bytes in hex."""
    return value.hex() if isinstance(value, bytes) else value
