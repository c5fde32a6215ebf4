"""The roles: which process of ``sakk serve`` does what until it is told to stop.

Each role's file is imported by that role alone: a process that was killed is back sooner, and the
signer holds no code that it does not need.
"""

from enum import StrEnum

from sakk.runtime.metrics import announce_role
from sakk.runtime.process import stand_behind, take_short_turns
from sakk.runtime.settings import Settings
from sakk.runtime.signals import stop_at_signals


class RoleName(StrEnum):
    """A process of the tree. Every one may be killed at any moment and started again."""

    ledger = "ledger"
    signer = "signer"
    api = "api"
    worker = "worker"
    watcher = "watcher"


# No request waits for what these do.
BEHIND = frozenset({RoleName.worker, RoleName.watcher})


def run_role(role: RoleName, settings: Settings) -> None:
    """Be one role until SIGTERM or SIGINT."""
    announce_role(role.value)
    if role in BEHIND:
        stand_behind()
    if role is RoleName.ledger:
        # Every request waits for it, and it works a fraction of a millisecond at a time.
        take_short_turns()
    stop = stop_at_signals()
    match role:
        case RoleName.ledger:
            from sakk.runtime.ledger import run_ledger

            run_ledger(settings, stop)
        case RoleName.signer:
            from sakk.runtime.signer import run_signer

            run_signer(settings, stop)
        case RoleName.api:
            # The server takes the signals itself.
            from sakk.runtime.edge import serve_api

            serve_api(settings)
        case RoleName.worker:
            from sakk.runtime.worker import run_worker

            run_worker(settings, stop)
        case RoleName.watcher:
            from sakk.runtime.watcher import run_watcher

            run_watcher(settings, stop)
