"""The roles: what each process of ``sakk serve`` does until it is told to stop."""

import signal
import threading
from enum import StrEnum
from types import FrameType

import structlog

from sakk.core.errors import Misconfigured, Unavailable
from sakk.core.network import Network
from sakk.flow.adoption import adoption_stage
from sakk.flow.broadcast import broadcast_stage
from sakk.flow.build import payout_build_stage, sweep_build_stage
from sakk.flow.collect import collect_stage
from sakk.flow.confirm import confirm_stage
from sakk.flow.context import Parts
from sakk.flow.expire import expire_stage
from sakk.flow.finality import finality_stage
from sakk.flow.forget import forget_stage
from sakk.flow.hold import hold_stage, release_stage
from sakk.flow.match import match_stage
from sakk.flow.notify import Notifier
from sakk.flow.outflow import outflow_reverse_stage, outflow_stage
from sakk.flow.post import post_stage
from sakk.flow.reverse import orphan_stage, reverse_stage
from sakk.flow.screen import payout_screen_stage, screen_stage
from sakk.flow.settle import settle_stage
from sakk.flow.sign import sign_stage
from sakk.flow.stage import CHANNEL, Bell, Stage, start_stages
from sakk.flow.transfer import left_behind_stage
from sakk.flow.watch import watch_stage
from sakk.ledger.projection import Projector
from sakk.ledger.remote import serve_ledger
from sakk.ledger.writer import open_ledger
from sakk.runtime.metrics import announce_role
from sakk.runtime.process import report_ready
from sakk.runtime.settings import Settings
from sakk.runtime.wiring import (
    database_url,
    ledger_address,
    make_parts,
    make_rail,
    open_parts,
    signer_socket,
)
from sakk.signing.protocol import SignerUnavailable
from sakk.signing.server import main as serve_signer
from sakk.signing.server import signer_files
from sakk.store import network
from sakk.store.address import put_treasury, put_wallet
from sakk.store.database import open_database
from sakk.store.identity import now

log = structlog.get_logger(__name__)

NETWORKS_READ_SECONDS = 2.0
SIGNER_RETRY_SECONDS = 0.2
DELIVERY_STAGE = "webhook_delivery"
STOP_SECONDS_MAX = 10.0


class RoleName(StrEnum):
    """A process of the tree. Every one may be killed at any moment and started again."""

    ledger = "ledger"
    signer = "signer"
    api = "api"
    worker = "worker"
    watcher = "watcher"


def run_role(role: RoleName, settings: Settings) -> None:
    """Be one role until SIGTERM or SIGINT."""
    announce_role(role.value)
    stop = stop_at_signals()
    match role:
        case RoleName.ledger:
            _run_ledger(settings, stop)
        case RoleName.signer:
            _run_signer(settings, stop)
        case RoleName.api:
            # The server takes the signals itself; imported here because only this role needs it.
            from sakk.runtime.edge import serve_api

            serve_api(settings)
        case RoleName.worker:
            _run_worker(settings, stop)
        case RoleName.watcher:
            _run_watcher(settings, stop)


def stop_at_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def pipeline(parts: Parts) -> list[Stage]:
    """Every stage of the worker, in the order of the flows."""
    return [
        match_stage(parts),
        finality_stage(parts),
        screen_stage(parts),
        post_stage(parts),
        orphan_stage(parts),
        reverse_stage(parts),
        outflow_stage(parts),
        outflow_reverse_stage(parts),
        adoption_stage(parts),
        expire_stage(parts),
        collect_stage(parts),
        sweep_build_stage(parts),
        hold_stage(parts),
        payout_screen_stage(parts),
        release_stage(parts),
        payout_build_stage(parts),
        sign_stage(parts),
        broadcast_stage(parts),
        confirm_stage(parts),
        settle_stage(parts),
        left_behind_stage(parts),
        forget_stage(parts),
    ]


def enrol(parts: Parts, stop: threading.Event) -> None:
    """Take over what may be known of the signer's keys: the xpub, and the treasury's addresses."""
    while not stop.is_set():
        try:
            public = parts.signer_client().public()
        except SignerUnavailable:
            log.info("worker.awaits_signer")
            stop.wait(SIGNER_RETRY_SECONDS)
            continue
        addresses = [address for _, address in sorted(public.treasury_addresses.items())]
        with parts.database.begin() as connection:
            put_wallet(connection, public.xpub, now=now())
            put_treasury(connection, addresses, livemode=False, now=now())
        return


def _run_ledger(settings: Settings, stop: threading.Event) -> None:
    url = database_url(settings)
    projector = Projector(url)
    ledger = open_ledger(url, on_append=projector.wake)
    report = threading.Timer(0.05, report_ready)
    report.start()
    try:
        serve_ledger(ledger, ledger_address(settings), stop)
    finally:
        report.cancel()
        ledger.close()
        projector.close()
    if not stop.is_set():
        raise Unavailable("the ledger stopped: another writer may have taken over; starting again")


def _run_signer(settings: Settings, stop: threading.Event) -> None:
    path = settings.keystore_passphrase_file
    if path is None:
        raise Misconfigured(
            "SAKK_KEYSTORE_PASSPHRASE_FILE is not set: name the file with the keystore's "
            "passphrase. `sakk keys create` makes both.",
            param="SAKK_KEYSTORE_PASSPHRASE_FILE",
        )
    serve_signer(
        files=signer_files(settings.data_dir),
        socket_path=signer_socket(settings),
        passphrase=path.read_text().strip(),
        stop=stop,
        clock=now,
        user=settings.signer_user,
        on_ready=report_ready,
    )


def _run_worker(settings: Settings, stop: threading.Event) -> None:
    parts = open_parts(settings, screening=True, signer=True)
    parts.screening_engine().refresh()
    enrol(parts, stop)
    bell = Bell(parts.database.url)
    notifier = Notifier(
        parts.database,
        allow_loopback=settings.webhook_allow_loopback,
        send_seconds_max=settings.webhook_timeout_seconds,
        lease_seconds=max(settings.lease_seconds, 2 * settings.webhook_timeout_seconds),
    )
    sender = threading.Thread(
        target=notifier.run, args=(stop, bell.event(DELIVERY_STAGE)), name=CHANNEL, daemon=True
    )
    threads = start_stages(pipeline(parts), bell, stop)
    sender.start()
    report_ready()
    stop.wait()
    for thread in [*threads, sender]:
        thread.join(STOP_SECONDS_MAX)
    parts.database.close()


def _run_watcher(settings: Settings, stop: threading.Event) -> None:
    """A thread for every enabled network; a network that is added is followed within seconds."""
    database = open_database(database_url(settings))
    followed: dict[str, tuple[Network, threading.Event]] = {}
    bell = Bell(database.url)
    threads: list[threading.Thread] = []
    report_ready()
    while not stop.is_set():
        with database.begin() as connection:
            enabled = {each.network: each for each in network.list_networks(connection)}
        enabled = {name: each for name, each in enabled.items() if each.enabled}
        for name in [name for name, (was, _) in followed.items() if enabled.get(name) != was]:
            followed.pop(name)[1].set()
        for name, found in enabled.items():
            if name not in followed:
                own_stop = threading.Event()
                parts = make_parts(settings, database)
                stage = watch_stage(parts, found, make_rail(found))
                threads += start_stages([stage], bell, own_stop, listening=False)
                followed[name] = (found, own_stop)
        stop.wait(NETWORKS_READ_SECONDS)
    for _, own_stop in followed.values():
        own_stop.set()
    bell.ring_all()
    for thread in threads:
        thread.join(STOP_SECONDS_MAX)
    database.close()
