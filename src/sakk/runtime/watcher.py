"""The role ``watcher``: one thread for every network that is followed."""

import threading

from sakk.core.network import Network
from sakk.flow.stage import Bell, start_stages
from sakk.flow.watch import watch_stage
from sakk.runtime.place import database_url
from sakk.runtime.process import report_ready
from sakk.runtime.settings import Settings
from sakk.runtime.wiring import make_parts, make_rail
from sakk.store import network
from sakk.store.database import open_database

NETWORKS_READ_SECONDS = 2.0
STOP_SECONDS_MAX = 10.0


def run_watcher(settings: Settings, stop: threading.Event) -> None:
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
                stage = watch_stage(parts, found, make_rail(found), guard=settings.guard)
                threads += start_stages([stage], bell, own_stop, listening=False)
                followed[name] = (found, own_stop)
        stop.wait(NETWORKS_READ_SECONDS)
    for _, own_stop in followed.values():
        own_stop.set()
    bell.ring_all()
    for thread in threads:
        thread.join(STOP_SECONDS_MAX)
    database.close()
