"""Talks with other institutions: which messages are due, and what a way to send them has to do.

The intent is committed with what it follows from (`queue`), and sent later by a stage, as often as
it takes: every message carries the same request identifier again. `TravelRail` is what a protocol
implements; TRP is the first, in `flow/trp.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection

from sakk.core import ids
from sakk.core.ivms101 import IdentityPayload
from sakk.core.trp import Confirmation, Resolution
from sakk.flow.stage import wake
from sakk.store import travel_rule as store
from sakk.store.identity import new_id
from sakk.store.travel_rule import TravelMessage

MESSAGE_PREFIX: Final = "trm"
# A resolution or a confirmation is worth trying for as long.
GIVE_UP_AFTER: Final = timedelta(days=7)
STAGE: Final = "travel_rule.send"


class MessageKind(StrEnum):
    inquiry = "inquiry"
    resolution = "resolution"
    confirmation = "confirmation"


class MessageStatus(StrEnum):
    queued = "queued"
    sent = "sent"
    failed = "failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """An inquiry as it is sent: of whom, how much of which token, and where the answer goes."""

    asset: dict[str, str]
    amount: str
    callback: str
    payload: IdentityPayload


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one message. ``refused``: it will not be taken however often it is sent.

    ``resolution``: what an inquiry was answered at once; ``error``: why there is no answer.
    """

    taken: bool
    refused: bool = False
    resolution: Resolution | None = None
    error: str | None = None


class TravelRail(Protocol):
    """A protocol by which institutions tell each other who sends and who receives.

    Each call may be repeated with the same identifier, and does the same then. It never raises for
    what the other side does: that is in what it returns.
    """

    def inquire(self, url: str, identifier: str, asked: Asked) -> Told:
        """Ask whether a transfer may come."""
        ...

    def resolve(self, url: str, identifier: str, resolution: Resolution) -> Told:
        """Answer what was asked before."""
        ...

    def confirm(self, url: str, identifier: str, confirmation: Confirmation) -> Told:
        """Tell the transaction that carries an approved transfer, or that there is none."""
        ...


def request_identifier(record: str) -> str:
    """The identifier of an exchange, a UUID that follows from its record's id."""
    return str(UUID(int=ids.decode(record)[1]))


def queue(
    connection: Connection,
    record: str,
    kind: MessageKind,
    *,
    url: str,
    identifier: str,
    livemode: bool,
    detail: dict[str, Any],
    now: datetime,
    give_up_at: datetime | None = None,
) -> None:
    """Have a message sent, in the transaction of what it follows from; one of each kind."""
    store.put_message(
        connection,
        TravelMessage(
            id=new_id(MESSAGE_PREFIX),
            record=record,
            livemode=livemode,
            kind=kind.value,
            url=url,
            request_identifier=identifier,
            detail=detail,
            status=MessageStatus.queued.value,
            give_up_at=give_up_at or now + GIVE_UP_AFTER,
            created=now,
        ),
    )
    wake(connection, STAGE)
