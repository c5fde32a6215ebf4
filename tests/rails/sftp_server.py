"""A real SFTP server in a thread, that knows the keys in ``authorized``."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import asyncssh


class Server:
    """asyncssh's own server in a thread; ``renames`` is what it saw become of names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authorized: list[str] = []
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.renames: list[tuple[str, str, int]] = []
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        self._ready.wait(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        seen, root = self.renames, self.root

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: Any) -> None:
                super().__init__(channel, chroot=os.fsencode(root))

            def rename(self, oldpath: bytes, newpath: bytes) -> None:
                size = os.path.getsize(self.map_path(oldpath))
                seen.append((oldpath.decode(), newpath.decode(), size))
                super().rename(oldpath, newpath)

        authorized, connections = self.authorized, self.connections

        class Door(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                connections.append(conn)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                mine = key.export_public_key().decode().split()[1]
                return username == "acme" and any(mine in each for each in authorized)

        async def listen() -> None:
            self.acceptor = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_host_keys=[self.host_key],
                server_factory=Door,
                sftp_factory=Files,
            )
            self.port = self.acceptor.get_port()
            self._ready.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()
        self.loop.run_until_complete(self._end())
        self.loop.close()

    async def _end(self) -> None:
        self.acceptor.close()
        await self.acceptor.wait_closed()
        # Whose client has gone may not have been told so yet.
        for connection in self.connections:
            connection.abort()
            await connection.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    @property
    def trust(self) -> str:
        """The host key, as a bank tells it."""
        return self.host_key.export_public_key().decode().strip()

    @property
    def address(self) -> str:
        return f"sftp://acme@127.0.0.1:{self.port}/house"
