"""The role ``signer``: it imports nothing of the flows, the rails or the doors."""

import threading

from sakk.runtime.place import signer_socket
from sakk.runtime.process import report_ready
from sakk.runtime.settings import Settings
from sakk.signing.server import main as serve_signer
from sakk.signing.server import signer_files
from sakk.store.identity import now


def run_signer(settings: Settings, stop: threading.Event) -> None:
    path = settings.keystore_passphrase_file
    serve_signer(
        files=signer_files(settings.data_dir),
        socket_path=signer_socket(settings),
        passphrase=None if path is None else path.read_text().strip(),
        pin=settings.read_token_pin(),
        stop=stop,
        clock=now,
        user=settings.signer_user,
        on_ready=report_ready,
    )
