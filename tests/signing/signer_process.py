"""The signer as a process of its own, for the tests to talk to, kill and start again.

``python signer_process.py DATA_DIRECTORY SOCKET``; the passphrase comes on stdin, the clock stands
at the milliseconds in ``DATA_DIRECTORY/clock``. It says ``ready`` on stdout and logs to stderr.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from sakk.core.errors import SakkError
from sakk.runtime.signals import stop_at_signals
from sakk.signing.server import main, signer_files


def run(directory: Path, socket_path: Path, user: str | None) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = stop_at_signals()

    def clock() -> datetime:
        milliseconds = int((directory / "clock").read_text())
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)

    try:
        main(
            files=signer_files(directory),
            socket_path=socket_path,
            passphrase=sys.stdin.readline().rstrip("\n"),
            stop=stop,
            clock=clock,
            user=user,
            on_ready=lambda: print("ready", flush=True),
        )
    except SakkError as error:
        print(f"{type(error).__name__}: {error.message}", flush=True)
        sys.exit(78)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
