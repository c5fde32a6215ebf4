"""``sakk`` in little time: a process that has loaded every command forks one for each call.

The documents call it about a hundred times, and each start would take a second of the processor.
Run as a program it is the server; ``put_in_place`` puts a ``sakk`` that asks it where a page's
terminal finds it. The commands, their arguments, input, output and exit codes are the real ones.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sakk.runtime.process import Command, die_with_parent, spawn

ORDER_BYTES_MAX = 1 << 20
LENGTH_BYTES = 8
PROGRAM = """#!{python} -IS
import json, os, socket, sys
order = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
body = json.dumps(order).encode()
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    socket.send_fds(line, [len(body).to_bytes({length}, "big")], [0, 1, 2])
    line.sendall(body)
    answer = line.recv(16)
sys.exit(int(answer or b"1"))
"""


@contextmanager
def serving(folder: Path) -> Iterator[Path]:
    """The program ``sakk`` of a server that lives as long as the block."""
    address = folder / "forking.sock"
    process = spawn(
        Command(
            argv=[sys.executable, "-m", "tests.docs.forking", str(address)],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
        )
    )
    program = folder / "sakk"
    program.write_text(
        PROGRAM.format(python=sys.executable, address=str(address), length=LENGTH_BYTES)
    )
    program.chmod(0o755)
    try:
        assert process.popen.stdout is not None
        assert process.popen.stdout.readline() == b"ready\n"
        yield program
    finally:
        process.end()


def put_in_place(environment: Path, program: Path) -> None:
    """An environment like the one that runs the tests, in which ``sakk`` is this program."""
    (environment / "bin").mkdir(parents=True)
    for each in Path(sys.prefix).iterdir():
        if each.name != "bin":
            (environment / each.name).symlink_to(each)
    for each in (Path(sys.prefix) / "bin").iterdir():
        (environment / "bin" / each.name).symlink_to(program if each.name == "sakk" else each)


def serve(address: str) -> None:
    """Fork a command for each call, until it is killed."""
    from sakk.cli.app import make_app

    make_app()
    gc.freeze()
    server = os.getpid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            line, _ = listening.accept()
            with line:
                length, files, _, _ = socket.recv_fds(line, LENGTH_BYTES, 3)
                body = _read(line, int.from_bytes(length, "big"))
                if os.fork() == 0:
                    # Whoever kills the tests leaves no command behind.
                    die_with_parent()
                    if os.getppid() != server:
                        os._exit(1)
                    listening.close()
                    code = _become(json.loads(body), files)
                    line.sendall(str(code).encode())
                    os._exit(code)
                for each in files:
                    os.close(each)


def _read(line: socket.socket, length: int) -> bytes:
    assert length <= ORDER_BYTES_MAX
    body = b""
    while len(body) < length:
        body += line.recv(length - len(body))
    return body


def _become(order: dict[str, object], files: list[int]) -> int:
    """Be the command that was called; its exit code."""
    from sakk.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for place, each in enumerate(files):
        os.dup2(each, place)
        os.close(each)
    os.chdir(str(order["folder"]))
    os.environ.clear()
    assert isinstance(order["environment"], dict)
    os.environ.update(order["environment"])
    assert isinstance(order["words"], list)
    sys.argv = ["sakk", *order["words"]]
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
