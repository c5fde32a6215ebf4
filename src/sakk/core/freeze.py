"""Freezes: nothing of ours is signed or sent while one is in force, and pay-ins go on.

A freeze stands in two places, and each alone stops what it can: a row in the database stops the
stages of every process, an entry in the signer's own log stops the keys. It ends by people's
deliberate act, never by time: at the signer's files, or by two persons of whom one proposes the
lift and another confirms it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core.approval import content_digest
from sakk.core.errors import ParameterInvalid

PREFIX = "frz"
LIFT_PREFIX = "frl"
REASON_CHARACTERS_MAX = 200


class FreezeOrigin(StrEnum):
    """Through which door it came. ``signer``: the signer had it before the database.

    ``restore``: the database is older than what was done with it; it ends when that is settled.
    ``defence``: something was done in the name of an address of ours that we did not do.
    """

    api = "api"
    cli = "cli"
    signer = "signer"
    restore = "restore"
    defence = "defence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """What is stopped: whatever fits all that is named; a freeze that names nothing stops all.

    ``holds_rebroadcasts``: what a node was given before is not given to it again either.
    ``signer_at``: when the signer was known to have it. Modes are not told apart.
    """

    id: str
    network: str | None = None
    asset: str | None = None
    account_id: str | None = None
    holds_rebroadcasts: bool = False
    reason: str
    origin: str
    signer_at: datetime | None = None
    lifted_at: datetime | None = None
    lift_reason: str | None = None
    created: datetime

    @property
    def is_whole(self) -> bool:
        """Does it stop everything, or all of a network, so that no sender can go on?"""
        return self.asset is None and self.account_id is None

    @property
    def reaches_signer(self) -> bool:
        """The signer knows networks and assets; of accounts and restores it knows nothing."""
        return self.account_id is None and self.origin != FreezeOrigin.restore

    @property
    def scope(self) -> str:
        """What it stops, in words."""
        parts = [
            f"{name} {value}"
            for name, value in (
                ("account", self.account_id),
                ("asset", self.asset),
                ("network", self.network),
            )
            if value is not None
        ]
        return ", ".join(parts) or "all"


class LiftStatus(StrEnum):
    """What became of a lift that was proposed."""

    proposed = "proposed"
    confirmed = "confirmed"
    rejected = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """One person's wish to end a freeze, which another has to confirm.

    ``digest``: of what both have read. ``approvals``: what people signed of it with their Ed25519
    keys, for the signer; public key and signature in hexadecimal.
    """

    id: str
    freeze: str
    livemode: bool
    status: str
    reason: str
    digest: str
    approvals: list[dict[str, str]]
    proposed_by: str
    decided_by: str | None = None
    decided_at: datetime | None = None
    created: datetime


def lift_message(*, freeze: str, network: str | None, asset: str | None, reason: str) -> bytes:
    """What both people read and may sign: which freeze ends, what it stopped, and why it ends."""
    scope = (network or "every network", asset or "every asset")
    return "\n".join(("sakk lift v1", freeze, *scope, reason)).encode()


def message_of(freeze: Freeze, reason: str) -> bytes:
    """The message of a freeze's lift."""
    return lift_message(freeze=freeze.id, network=freeze.network, asset=freeze.asset, reason=reason)


def public_lift(lift: Lift, freeze: Freeze) -> dict[str, Any]:
    """The operator's object ``freeze_lift``. ``message``: what may be signed, as UTF-8."""
    return {
        "id": lift.id,
        "object": "freeze_lift",
        "created": int(lift.created.timestamp()),
        "decided_at": None if lift.decided_at is None else int(lift.decided_at.timestamp()),
        "decided_by": lift.decided_by,
        "digest": lift.digest,
        "freeze": lift.freeze,
        "livemode": lift.livemode,
        "message": message_of(freeze, lift.reason).decode(),
        "metadata": {},
        "proposed_by": lift.proposed_by,
        "reason": lift.reason,
        "signatures": len(lift.approvals),
        "status": lift.status,
    }


def lift_digest(freeze: Freeze, reason: str) -> str:
    """SHA-256 of what is confirmed, in hexadecimal."""
    return content_digest(message_of(freeze, reason))


def check_reason(reason: str) -> str:
    """A reason that can be kept; ParameterInvalid for one that is empty or too long."""
    kept = reason.strip()
    if not kept or len(kept) > REASON_CHARACTERS_MAX:
        raise ParameterInvalid(
            "Say why, in 1 to {most} characters.", param="reason", most=REASON_CHARACTERS_MAX
        )
    return kept


def public(freeze: Freeze, *, livemode: bool) -> dict[str, Any]:
    """The operator's object ``freeze``."""
    return {
        "id": freeze.id,
        "object": "freeze",
        "account": freeze.account_id,
        "asset": freeze.asset,
        "created": int(freeze.created.timestamp()),
        "hold_rebroadcasts": freeze.holds_rebroadcasts,
        "lift_reason": freeze.lift_reason,
        "lifted_at": None if freeze.lifted_at is None else int(freeze.lifted_at.timestamp()),
        "livemode": livemode,
        "metadata": {},
        "network": freeze.network,
        "origin": freeze.origin,
        "reason": freeze.reason,
        "scope": freeze.scope,
        "signer_frozen_at": (
            None if freeze.signer_at is None else int(freeze.signer_at.timestamp())
        ),
        "status": "in_force" if freeze.lifted_at is None else "lifted",
    }
