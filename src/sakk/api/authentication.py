"""Authentication: from the headers of a request to a key and the account that it acts for."""

import base64
import binascii
import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from sakk.api.context import Caller
from sakk.api.limit import Limits
from sakk.core.account import AccountKind
from sakk.core.agent import SCHEME, check, read_credential
from sakk.core.api_key import check_usable, is_token, token_hash
from sakk.core.connected_account import ConnectedAccount
from sakk.core.errors import AccountInvalid, AuthenticationFailed, SakkError
from sakk.core.person import PersonState
from sakk.flow import connected_account
from sakk.store import account as account_store
from sakk.store import api_key as api_key_store
from sakk.store import mandate as mandate_store
from sakk.store.api_key import Principal
from sakk.store.database import Database

# A revocation is seen by every process within this time.
CACHE_SECONDS = 1.0
CACHE_ENTRIES_MAX = 10_000
ACCOUNT_LENGTH_MAX = 64


class Authenticator:
    """Looks keys and accounts up by the database, and remembers them for a moment."""

    def __init__(
        self, database: Database, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._principals: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._accounts: OrderedDict[str, float] = OrderedDict()
        self._refreshing: set[bytes] = set()
        self._lock = threading.Lock()

    def caller(
        self,
        *,
        authorization: str | None,
        stripe_account: str | None,
        address: str | None,
        now: datetime,
    ) -> Caller:
        """Who asks; raises AuthenticationFailed, AccountInvalid, RateLimited."""
        token = read_token(authorization)
        hashed = token_hash(token)
        principal = self._remembered(token, hashed) or self._looked_up(token, hashed, address)
        _check_usable(principal, now=now, address=address)
        account_id = principal.key.account_id
        connected = None
        if stripe_account is not None and stripe_account != account_id:
            connected = self._acting(principal, stripe_account)
            account_id = stripe_account
        return replace(_caller(principal, account_id), connected=connected)

    def agent(
        self,
        credential: str,
        *,
        method: str,
        path: str,
        body: bytes,
        address: str | None,
        now: datetime,
    ) -> Caller:
        """An agent that signed the request with its own key; see `sakk.core.agent`."""
        read = read_credential(credential)
        self._limits.check_failures(address)
        with self._database.read() as connection:
            mandate = mandate_store.find_any(connection, read.mandate)
        try:
            key = check(mandate, read, method=method, path=path, body=body, now=now)
        except AuthenticationFailed:
            self._limits.count_failure(address)
            raise
        return Caller(key, key.account_id, AccountKind.merchant.value)

    def caller_at_once(
        self, *, authorization: str | None, address: str | None, now: datetime
    ) -> Caller | None:
        """Who asks for itself, without the database: None when it must be asked."""
        token = read_token(authorization)
        principal = self._remembered(token, token_hash(token))
        if principal is None:
            return None
        _check_usable(principal, now=now, address=address)
        return _caller(principal, principal.key.account_id)

    def _remembered(self, token: str, hashed: bytes) -> Principal | None:
        """What was found a moment ago. A key in use is looked up again beside its requests, so
        that not all of them wait for it at once."""
        with self._lock:
            until, principal = self._principals.get(hashed, (0.0, None))
            left = until - self._clock()
            refreshes = 0 < left < CACHE_SECONDS / 2 and hashed not in self._refreshing
            if refreshes:
                self._refreshing.add(hashed)
        if refreshes:
            threading.Thread(target=self._refresh, args=(token, hashed), daemon=True).start()
        return principal if left > 0 else None

    def _refresh(self, token: str, hashed: bytes) -> None:
        try:
            self._looked_up(token, hashed, None)
        except AuthenticationFailed:
            with self._lock:
                self._principals.pop(hashed, None)
        except (SakkError, DBAPIError):
            # The database is away: the key is asked for again when its moment is over.
            pass
        finally:
            with self._lock:
                self._refreshing.discard(hashed)

    def _looked_up(self, token: str, hashed: bytes, address: str | None) -> Principal:
        self._limits.check_failures(address)
        with self._database.begin() as connection:
            principal = api_key_store.find_principal(connection, hashed)
        if principal is None or not hmac.compare_digest(principal.key.token_hash, hashed):
            self._limits.count_failure(address)
            raise AuthenticationFailed(
                f"Invalid API key provided: {token[:8]}…{token[-4:]}. Check that you copied all of"
                " it and that it belongs to this server."
            )
        with self._lock:
            self._principals[hashed] = (self._clock() + CACHE_SECONDS, principal)
            if len(self._principals) > CACHE_ENTRIES_MAX:
                self._principals.popitem(last=False)
        return principal

    def _acting(self, principal: Principal, account_id: str) -> ConnectedAccount | None:
        """By what a key acts for an account that is not its own: None for the operator's. A
        connection is looked up for each request, so that its end counts at once."""
        key = principal.key
        is_sane = len(account_id) <= ACCOUNT_LENGTH_MAX and "\x00" not in account_id
        if is_sane and key.mandate is None:
            if principal.account_kind == AccountKind.operator:
                if self._exists(account_id):
                    return None
            else:
                with self._database.read() as connection:
                    connected = connected_account.acting(
                        connection,
                        platform=key.account_id,
                        account_id=account_id,
                        livemode=key.livemode,
                    )
                if connected is not None:
                    return connected
        raise AccountInvalid(
            f"The API key does not have access to account {account_id[:ACCOUNT_LENGTH_MAX]!r}, or"
            " that account does not exist. Only the operator acts for other accounts, and a"
            " platform for those that are connected to it."
        )

    def _exists(self, account_id: str) -> bool:
        with self._lock:
            if self._accounts.get(account_id, 0.0) > self._clock():
                return True
        with self._database.begin() as connection:
            found = account_store.find_account(connection, account_id) is not None
        if found:
            with self._lock:
                self._accounts[account_id] = self._clock() + CACHE_SECONDS
                if len(self._accounts) > CACHE_ENTRIES_MAX:
                    self._accounts.popitem(last=False)
        return found


def _check_usable(principal: Principal, *, now: datetime, address: str | None) -> None:
    """Raise AuthenticationFailed for a key that may not be used, or whose person may not act."""
    check_usable(principal.key, now=now, address=address)
    if principal.person_state not in (None, PersonState.active):
        raise AuthenticationFailed(
            f"The person whose key this is, is {principal.person_state}. Ask an admin."
        )


def _caller(principal: Principal, account_id: str) -> Caller:
    bound = principal.key.mandate is not None
    return Caller(
        key=principal.key,
        account_id=account_id,
        # An agent of the operator's is no operator.
        key_account_kind=AccountKind.merchant.value if bound else principal.account_kind,
        roles=principal.roles,
    )


def read_token(authorization: str | None) -> str:
    """The token in ``Authorization``: Bearer (RFC 6750), or Basic with the key as the user."""
    if not authorization:
        raise AuthenticationFailed(
            "You did not provide an API key. Send it as 'Authorization: Bearer sk_test_…'."
        )
    scheme, _, credentials = authorization.partition(" ")
    token = ""
    match scheme.lower():
        case "bearer":
            token = credentials.strip()
        case "basic":
            token = _basic_user(credentials.strip())
    if not is_token(token):
        raise AuthenticationFailed(
            "That is not an API key of this server. Keys begin with sk_test_, sk_live_, rk_test_"
            " or rk_live_; send one as 'Authorization: Bearer sk_test_…'."
        )
    return token


def agent_credential(authorization: str | None) -> str | None:
    """What an agent sent in ``Authorization``; None where it is an API key, or nothing."""
    scheme, _, credential = (authorization or "").partition(" ")
    return credential.strip() if scheme.lower() == SCHEME else None


def _basic_user(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return decoded.partition(":")[0]
