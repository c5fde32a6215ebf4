"""The signer's own freezes: entries of its log, which no request of one alone can undo.

Two files in the signer's folder speak to a signer that does not answer: ``freeze`` stops it at its
start, ``unfreeze`` lets it go on, as approvers' signatures do where the policy file says so. Both
are obeyed only where none but the signer's owner could have written them; a ``freeze`` that others
could write stops it all the same.
"""

from pathlib import Path
from typing import Final

import msgspec

from sakk.core.errors import Misconfigured
from sakk.core.freeze import lift_message
from sakk.signing import log as journal
from sakk.signing.approval import signers_of
from sakk.signing.files import check_private, sync_directory, write_private
from sakk.signing.policy import Policy
from sakk.signing.protocol import (
    REASON_CHARACTERS_MAX,
    FreezeRequest,
    FreezeState,
    Reason,
    UnfreezeRequest,
    refusal,
)

FREEZE_NAME: Final = "freeze"
UNFREEZE_NAME: Final = "unfreeze"
FILE_BYTES_MAX: Final = 4096


class _Unfreeze(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``unfreeze`` says: which freeze ends (all without one), and why."""

    reason: str
    freeze: str | None = None


class Freezes:
    """What is frozen, as the log and the two files say. For use under the signer's lock."""

    def __init__(self, log: journal.SignerLog) -> None:
        self._log = log
        self._directory = log.path.parent
        self._in_force: dict[str, journal.FrozenEntry] = {}
        self._ended: set[str] = set()

    def take(self, entry: journal.FrozenEntry | journal.UnfrozenEntry) -> None:
        """What an entry changes: the same when it is written and at replay."""
        if isinstance(entry, journal.FrozenEntry):
            self._in_force[entry.freeze] = entry
            return
        ended = [entry.freeze] if entry.freeze is not None else list(self._in_force)
        for freeze in ended:
            self._in_force.pop(freeze, None)
            self._ended.add(freeze)

    def freeze(self, request: FreezeRequest, *, now: int) -> None:
        """Freeze; one that was lifted is over, and its request may come late."""
        # An unfreeze that was left from an earlier time must not undo this freeze.
        (self._directory / UNFREEZE_NAME).unlink(missing_ok=True)
        if request.freeze in self._in_force or (request.freeze and request.freeze in self._ended):
            return
        self._write(
            journal.FrozenEntry(
                request.reason[:REASON_CHARACTERS_MAX],
                freeze=request.freeze,
                network=request.network,
                asset=request.asset,
            ),
            now=now,
        )

    def unfreeze(self, request: UnfreezeRequest, policy: Policy, *, now: int) -> None:
        """End one freeze by what its approvers signed; a refusal where the file does not let them.

        One that is over, or never was, changes nothing.
        """
        entry = self._in_force.get(request.freeze)
        if entry is None:
            return
        message = lift_message(
            freeze=entry.freeze, network=entry.network, asset=entry.asset, reason=request.reason
        )
        needed = policy.lift_approvals
        given = 0
        if needed:
            given = len(signers_of(request.approvals, policy, lambda _: message, what="lift"))
        if not needed or given < needed:
            raise refusal(
                Reason.frozen,
                f"{request.freeze} ends at the signer's files, or by {needed or 'no'} approvals of"
                f" the policy's approvers; {given} given",
            )
        self._write(journal.UnfrozenEntry(request.reason, freeze=entry.freeze), now=now)

    def obey_files(self, *, now: int) -> None:
        """Take up what the two files say; a refusal while one is not to be trusted."""
        self._obey_freeze(now)
        self._obey_unfreeze(now)

    def check(self, *, network: str | None = None, asset: str | None = None) -> None:
        """A refusal if this is frozen; without a network, only if everything is."""
        for entry in self._in_force.values():
            fits = (entry.network is None or entry.network == network) and (
                entry.asset is None or entry.asset == asset
            )
            if fits:
                raise refusal(Reason.frozen, f"the signer is frozen: {entry.reason}")

    def states(self) -> tuple[FreezeState, ...]:
        """What is in force, in the order in which it came."""
        return tuple(
            FreezeState(each.freeze, each.reason, each.network, each.asset)
            for each in self._in_force.values()
        )

    def _obey_freeze(self, now: int) -> None:
        path = self._directory / FREEZE_NAME
        if not path.exists():
            return
        try:
            check_private(path)
            request = msgspec.json.decode(path.read_bytes()[:FILE_BYTES_MAX], type=FreezeRequest)
        except (Misconfigured, msgspec.MsgspecError) as error:
            raise refusal(Reason.frozen, f"the signer is frozen by {path}: {error}") from None
        self.freeze(request, now=now)
        path.unlink()
        sync_directory(self._directory)

    def _obey_unfreeze(self, now: int) -> None:
        path = self._directory / UNFREEZE_NAME
        if not self._in_force or not path.exists():
            return
        try:
            check_private(path)
            wanted = msgspec.json.decode(path.read_bytes()[:FILE_BYTES_MAX], type=_Unfreeze)
        except Misconfigured as error:
            raise refusal(Reason.frozen, f"the signer stays frozen: {error.message}") from None
        except msgspec.MsgspecError as error:
            raise refusal(Reason.frozen, f"the signer stays frozen: {path}: {error}") from None
        # Unlink first: a crash in between leaves it frozen, never unfrozen by a stale file.
        path.unlink()
        sync_directory(self._directory)
        if wanted.freeze is None or wanted.freeze in self._in_force:
            reason = wanted.reason[:REASON_CHARACTERS_MAX]
            self._write(journal.UnfrozenEntry(reason, freeze=wanted.freeze), now=now)

    def _write(self, entry: journal.FrozenEntry | journal.UnfrozenEntry, *, now: int) -> None:
        self._log.append(entry, at=now)
        self.take(entry)


def request_freeze(directory: Path, request: FreezeRequest) -> None:
    """Stop the signer of this data directory at its next start: for one that does not answer."""
    write_private(directory / FREEZE_NAME, msgspec.json.encode(request), replace=True)


def request_unfreeze(directory: Path, reason: str, *, freeze: str | None = None) -> None:
    """Let the signer of this data directory sign again: it takes this up at its next request."""
    wanted = _Unfreeze(reason[:REASON_CHARACTERS_MAX], freeze)
    write_private(directory / UNFREEZE_NAME, msgspec.json.encode(wanted), replace=True)
