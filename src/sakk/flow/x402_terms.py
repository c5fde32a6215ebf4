"""What x402 payments are judged by: network, token, whose address, and who signed.

What a process remembers only saves questions: a token's domain, which never changes, and for a
second who is paid in what.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

import structlog

from sakk.core import caip, eip3009
from sakk.core.network import Asset, Network
from sakk.core.x402 import Invalid, Reason, Request
from sakk.core.x402_payment import (
    Claim,
    Method,
    check_domain,
    is_signed,
    undeployed,
)
from sakk.flow.context import Parts
from sakk.rails.evm.capture import Domain, has_code, read_domain, would_fail
from sakk.rails.evm.rpc import Rpc
from sakk.store import network as networks
from sakk.store import receiving_address

TERMS_KEPT: Final = timedelta(seconds=1)
TERMS_KEPT_MAX: Final = 20_000

log = structlog.get_logger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The newest so many of what was found, for any number of threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        return self._kept.get(key)

    def keep(self, key: Key, value: Value) -> None:
        with self._lock:
            self._kept[key] = value
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payment is judged by: its network and token, and whose address it goes to."""

    network: Network
    asset: Asset
    account_id: str | None


class TermsBook:
    """The terms of payments, for one process; safe to ask from many threads.

    ``any_recipient``: coins may go to whomever a payment names, and not to our accounts alone.
    """

    def __init__(self, parts: Parts, *, any_recipient: bool) -> None:
        self._parts = parts
        self._any_recipient = any_recipient
        self._domains: dict[str, Domain] = {}
        self._known: Kept[tuple[str, str], tuple[datetime, Terms]] = Kept(TERMS_KEPT_MAX)

    def of(self, claim: Claim, livemode: bool | None) -> Terms:
        """By what a payment is judged; what the operator changes counts within a second."""
        now = self._parts.clock()
        place = (claim.asset, claim.pay_to)
        until, terms = self._known.get(place) or (now, None)
        if terms is None or until <= now:
            with self._parts.database.read() as connection:
                found = networks.find_network(connection, claim.network)
                if found is None or not found.enabled:
                    raise Invalid(Reason.invalid_network, f"{claim.network} is not served here.")
                asset = networks.find_asset(connection, claim.asset)
                if asset is None or not asset.payin_enabled:
                    raise Invalid(Reason.asset_unknown, f"{claim.asset} is not taken here.")
                receiver = receiving_address.by_address(connection, claim.pay_to, claim.network)
            if receiver is None and not self._any_recipient:
                raise Invalid(
                    Reason.recipient_mismatch,
                    "payTo is no receiving address of this server: have one by"
                    " POST /v1/receiving_addresses.",
                )
            terms = Terms(found, asset, None if receiver is None else receiver.account_id)
            self._known.keep(place, (now + TERMS_KEPT, terms))
        if livemode not in (None, terms.network.livemode):
            raise Invalid(Reason.invalid_network, f"{claim.network} is not of this key's mode.")
        return terms

    def rpc(self, terms: Terms) -> Rpc:
        return self._parts.rail_of(terms.network).rpc

    def require_signed(self, request: Request, claim: Claim, terms: Terms) -> bool:
        """Invalid unless the payer signed: True by its own key, False by its wallet contract."""
        rpc = self.rpc(terms)
        separator = b""
        if claim.method is Method.eip3009:
            domain = self._domain(rpc, claim, terms.asset)
            check_domain(request.payment_requirements, name=domain.name, version=domain.version)
            separator = domain.separator
        if is_signed(claim, separator):
            return True
        if not has_code(rpc, claim.payer):
            raise undeployed(claim)
        failure = would_fail(rpc, claim)
        if failure is not None:
            raise Invalid(*failure)
        return False

    def _domain(self, rpc: Rpc, claim: Claim, asset: Asset) -> Domain:
        """A token's domain: read once, and held against what the operator listed it with."""
        known = self._domains.get(claim.asset)
        if known is not None:
            return known
        found = read_domain(rpc, claim.token)
        chain = caip.chain_id(claim.network)
        if found is None or found.separator != eip3009.domain_separator(
            found.name, found.version, chain, claim.token
        ):
            raise Invalid(Reason.not_supported, f"{claim.asset} takes no signed transfers.")
        listed = (asset.eip712_name, asset.eip712_version)
        if asset.eip712_name is not None and listed != (found.name, found.version):
            log.error("x402.domain_differs", asset=claim.asset, listed=listed, found=found.name)
            raise Invalid(Reason.asset_unknown, f"{claim.asset} is listed with another domain.")
        self._domains[claim.asset] = found
        return found
