"""Sessions: the door for agents, who have no API key, and the payer's own way with one.

What arrives without a key is signed by an agent's key (EIP-712, ``sakk.core.session``), which is
checked before anything is looked up by it, and names a time near now. An agent may repeat
everything. Amounts are strings here, as in every message of HTTP 402.
"""

import base64
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from sakk.api.answer import encode, refusal
from sakk.api.body import read_body
from sakk.api.channel import resource
from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    Parameters,
    Strict,
    validate,
)
from sakk.api.pipeline import Request
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import session as rules
from sakk.core.channel import Channel
from sakk.core.errors import MethodNotAllowed, ParameterInvalid, ResourceMissing
from sakk.core.evm import parse_address
from sakk.core.money import UNITS_MAX
from sakk.core.peer import client_address
from sakk.core.session import Closing, Opening, Query, Revocation, Session, VoucherBody
from sakk.flow import session as flow
from sakk.flow.idempotency import Answer
from sakk.flow.session import Opened
from sakk.store import channel as channels
from sakk.store import session as store
from sakk.store.actor import acting
from sakk.store.page import fetch_page

PATHS: Final = (
    "/x402/sessions",
    "/x402/vouchers",
    "/x402/sessions/query",
    "/x402/sessions/close",
    "/x402/sessions/revoke",
)
BODY_BYTES_MAX: Final = 8_192
CHARGES_MAX: Final = (1 << 63) - 1
DEADLINE_MAX: Final = 1 << 40

Whole = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,38})$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^(0x)?[0-9a-fA-F]{64}$")]
SignatureHex = Annotated[str, StringConstraints(pattern=r"^(0x)?[0-9a-fA-F]{130}$")]
NetworkName = Annotated[str, StringConstraints(min_length=1, max_length=41)]
MaybeId = Annotated[str, StringConstraints(max_length=100)]
Deadline = Annotated[int, Field(ge=0, le=DEADLINE_MAX)]
Charges = Annotated[int, Field(ge=0, le=CHARGES_MAX)]


class SessionOpen(Strict):
    """``OpenSession`` with its signature."""

    network: NetworkName
    signer: Identifier
    mandate: MaybeId = ""
    channel: MaybeId = ""
    payee: Identifier
    currency: CurrencyCode
    ceiling: Whole
    salt: Hex32
    deadline: Deadline
    signature: SignatureHex


class VoucherGive(Strict):
    """``Voucher`` with its signature."""

    network: NetworkName
    channel: Identifier
    ceiling: Whole
    spent: Whole
    charges: Charges
    head: Hex32
    signature: SignatureHex


class SessionQuery(Strict):
    """``Query`` with its signature."""

    network: NetworkName
    signer: Identifier
    channel: MaybeId = ""
    deadline: Deadline
    signature: SignatureHex


class SessionClose(Strict):
    """``Close`` with its signature."""

    network: NetworkName
    channel: Identifier
    spent: Whole
    charges: Charges
    head: Hex32
    deadline: Deadline
    signature: SignatureHex


class SessionRevoke(Strict):
    """``Revoke`` with its signature."""

    network: NetworkName
    session: Identifier
    deadline: Deadline
    signature: SignatureHex


class SessionDoor:
    """Answers agents; safe to call from many threads."""

    def __init__(self, dependencies: Dependencies, limits: Limits) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._does: dict[str, Callable[[bytes, str | None], Document]] = {
            PATHS[0]: self._open,
            PATHS[1]: self._raise,
            PATHS[2]: self._query,
            PATHS[3]: self._close,
            PATHS[4]: self._revoke,
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
            media_type = request.headers.get("content-type")
            if request.method == "POST":
                document = self._does[request.path](request.body, media_type)
            elif request.path == PATHS[0]:
                document = self._self()
            else:
                raise MethodNotAllowed(f"There is no GET {request.path}. POST what is signed.")
        except Exception as error:
            return refusal(error, request_id=request.request_id, public_url=settings.public_url)
        return Answer(status=200, body=encode(document))

    def _self(self) -> Document:
        """Which installation this is, and by which key it signs."""
        with self._dependencies.database.read() as connection:
            network = flow.network_of(connection)
        vault = self._dependencies.parts.secrets_vault()
        return {
            "object": "authority",
            "network": network,
            "scheme": rules.SCHEME,
            "authority": vault.authority_key().hex(),
        }

    def _open(self, body: bytes, media_type: str | None) -> Document:
        given = _read(SessionOpen, body, media_type)
        opening = Opening(
            network=given.network,
            signer=parse_signer(given.signer),
            mandate=given.mandate,
            channel=given.channel,
            payee=given.payee,
            currency=given.currency.lower(),
            ceiling=_units(given.ceiling, "ceiling"),
            salt=_bytes(given.salt),
            deadline=given.deadline,
        )
        opened = flow.open_signed(self._dependencies.parts, opening, _bytes(given.signature))
        return shown(opened) | flow.standing(self._dependencies.parts, opened.channel)

    def _raise(self, body: bytes, media_type: str | None) -> Document:
        given = _read(VoucherGive, body, media_type)
        voucher = VoucherBody(
            network=given.network,
            channel=given.channel,
            ceiling=_units(given.ceiling, "ceiling"),
            spent=_units(given.spent, "spent"),
            charges=given.charges,
            head=_bytes(given.head),
        )
        parts = self._dependencies.parts
        return flow.standing(parts, flow.raise_signed(parts, voucher, _bytes(given.signature)))

    def _query(self, body: bytes, media_type: str | None) -> Document:
        given = _read(SessionQuery, body, media_type)
        query = Query(
            network=given.network,
            signer=parse_signer(given.signer),
            channel=given.channel,
            deadline=given.deadline,
        )
        parts = self._dependencies.parts
        found = flow.query_signed(parts, query, _bytes(given.signature))
        return {
            "object": "channels",
            "channels": [flow.standing(parts, each) for each in found],
        }

    def _close(self, body: bytes, media_type: str | None) -> Document:
        given = _read(SessionClose, body, media_type)
        closing = Closing(
            network=given.network,
            channel=given.channel,
            spent=_units(given.spent, "spent"),
            charges=given.charges,
            head=_bytes(given.head),
            deadline=given.deadline,
        )
        parts = self._dependencies.parts
        return flow.standing(parts, flow.close_signed(parts, closing, _bytes(given.signature)))

    def _revoke(self, body: bytes, media_type: str | None) -> Document:
        given = _read(SessionRevoke, body, media_type)
        revocation = Revocation(
            network=given.network, session=given.session, deadline=given.deadline
        )
        signature = _bytes(given.signature)
        revoked = flow.revoke_signed(self._dependencies.parts, revocation, signature)
        assert revoked.revoked_at is not None
        return {
            "session": revoked.id,
            "channel": revoked.channel_id,
            "revoked_at": int(revoked.revoked_at.timestamp()),
        }


class SessionCreate(Parameters):
    """A session on a channel of one's own."""


class SessionListParameters(ListParameters):
    """Which sessions."""


class SessionShape(Shape):
    """A session. Its key is shown once, when it is made."""

    id: str
    object: Literal["session"]
    channel: str
    created: Created
    expires_at: int
    key: Annotated[
        str | None,
        Field(description="32 bytes in base64url: the key of its calls' MACs. Shown once."),
    ]
    livemode: Livemode
    metadata: ObjectMetadata
    revoked_at: int | None


@resource.post(
    "/v1/channels/{channel}/sessions",
    returns=SessionShape,
    operation="create_session",
    two_steps=True,
    secret_key_only=True,
)
def create(context: Context, channel: str, body: SessionCreate) -> ShownOnce:
    """Make a session on a channel that the account pays for: a key by which calls are paid.

    Several sessions on one channel are several keys, each with nonces of its own.
    """
    found = _paid(context, channel)
    salt = rules.uuid_bytes(context.object_id(rules.PREFIX)).ljust(32, b"\0")
    opened = flow.issue(context.parts, found, salt=salt)
    document = rules.public_session(opened.session, livemode=context.livemode)
    return ShownOnce(
        document=document | {"key": encoded_key(opened.key)}, stored=document | {"key": None}
    )


@resource.get(
    "/v1/channels/{channel}/sessions",
    returns=Page[SessionShape],
    operation="list_sessions",
    asks_outside=True,
)
def list_sessions(context: Context, channel: str, query: SessionListParameters) -> Listing:
    """List the sessions on a channel that the account pays for, newest first, without their keys.

    Revoked ones, and those whose time is over, are among them.
    """
    found = _paid(context, channel)
    with context.database.begin() as connection:
        rows, has_more = fetch_page(
            connection,
            store.sessions,
            Session,
            account_id=None,
            livemode=None,
            page=query.page(),
            filters=[store.sessions.c.channel_id == found.id],
        )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.post(
    "/v1/channels/{channel}/sessions/{session}/revoke",
    returns=SessionShape,
    operation="revoke_session",
    two_steps=True,
)
def revoke(context: Context, channel: str, session: str) -> Document:
    """End one session on a channel that the account pays for, for ever.

    When this is answered nothing is reserved by its key any more, at any door. What was reserved
    before may still be committed. The channel and its other sessions go on.
    """
    paid = _paid(context, channel)
    # What else is asked of channels is no part of the log: who ends a session is.
    with acting(context.actor.signature, context.request_id):
        return _shown(context, flow.revoke(context.parts, paid, session))


def _paid(context: Context, channel: str) -> Channel:
    with context.database.begin() as connection:
        found = channels.find_of(
            connection, channel, account_id=context.account_id, livemode=context.livemode
        )
    if found is None or found.account_id != context.account_id:
        raise ResourceMissing(f"No such channel: {channel!r}", param="channel")
    return found


def _shown(context: Context, session: Session) -> Document:
    return rules.public_session(session, livemode=context.livemode) | {"key": None}


def shown(opened: Opened) -> Document:
    """A session as its payer is told of it."""
    return {
        "session": opened.session.id,
        "key": encoded_key(opened.key),
        "session_expires_at": int(opened.session.expires_at.timestamp()),
    }


def encoded_key(key: bytes) -> str:
    """A session's key in base64url, without padding."""
    return base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def _read(model: Any, body: bytes, media_type: str | None) -> Any:
    tree, typed = read_body(body, media_type)
    return validate(model, tree, strict=typed)


def parse_signer(text: str) -> str:
    """The address of a key, in lower case; ParameterInvalid."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise ParameterInvalid(f"signer: {error}.", param="signer") from None


def _units(text: str, name: str) -> int:
    units = int(text)
    if units > UNITS_MAX:
        raise ParameterInvalid(f"{name} is at most {UNITS_MAX}.", param=name)
    return units


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
