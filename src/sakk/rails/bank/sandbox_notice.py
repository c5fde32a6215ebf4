"""The sandbox's provider tells of its orders: signed notices to our own door, as a real one's.

They may be lost, as real ones are: nobody sends them again, and what they were about is asked after
all the same.
"""

import queue
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import httpx2
import msgspec
import structlog

from sakk.core.provider_notice import PATH
from sakk.core.webhook import sign
from sakk.rails.bank.provider_notice import sandbox_secret
from sakk.store.identity import new_id
from sakk.store.identity import now as wall_clock
from sakk.store.vault import Vault

WAITING_MAX: Final = 100
SEND_SECONDS_MAX: Final = 5.0

log = structlog.get_logger(__name__)


class SandboxNotices:
    """Sends notices one after another, beside whoever tells; ``address``: where our door is."""

    def __init__(
        self, address: str, vault: Vault, *, clock: Callable[[], datetime] = wall_clock
    ) -> None:
        self._address = address.rstrip("/")
        self._vault = vault
        self._clock = clock
        self._waiting: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue(WAITING_MAX)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, bank_account: str, told: dict[str, Any]) -> None:
        """Send a notice, a moment later; one too many is dropped."""
        body = msgspec.json.encode(told)
        headers = sign(
            body,
            event_id=new_id("evt"),
            timestamp=int(self._clock().timestamp()),
            secrets=[sandbox_secret(self._vault, bank_account)],
        )
        url = self._address + PATH.format(bank_account=bank_account)
        try:
            self._waiting.put_nowait((url, headers, body))
        except queue.Full:
            log.warning("sandbox.notice_dropped", bank_account=bank_account)
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send, name="sandbox.notices", daemon=True
                )
                self._thread.start()

    def flush(self) -> None:
        """Wait until all that was told is sent, or lost."""
        self._waiting.join()

    def _send(self) -> None:
        with httpx2.Client(timeout=SEND_SECONDS_MAX, trust_env=False) as client:
            while True:
                url, headers, body = self._waiting.get()
                try:
                    answer = client.post(url, content=body, headers=headers)
                    if answer.status_code != 204:
                        log.warning("sandbox.notice_refused", status=answer.status_code)
                except httpx2.HTTPError as error:
                    log.warning("sandbox.notice_lost", why=type(error).__name__)
                finally:
                    self._waiting.task_done()
