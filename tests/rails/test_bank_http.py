"""A bank's own interface: a real server, that forgets to answer, and asks who we are."""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sakk.flow.delivery import public_connector
from sakk.rails.bank.http import Cursor, HttpBank
from sakk.rails.bank.rail import BankUnreachable, FileTooLarge
from tests.rails.bank_place import Memory

TOKEN = "t-123"


class Bank(ThreadingHTTPServer):
    """Files by their key, and what it left; ``forgets`` answers are not given, ``halves`` break
    off in the middle."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.orders: dict[str, bytes] = {}
        self.posts = 0
        self.forgets = 0
        self.halves = 0
        self.left: list[dict[str, Any]] = []
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that is refused is no news."""

    def leave(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.left.append({"id": name, "name": name, "size": len(content), "sha256": digest})
        self.contents[name] = content

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Bank

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _is_ours(self) -> bool:
        if self.server.context is None and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401)
            return False
        return True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_ours():
            return
        self.server.posts += 1
        self.server.orders.setdefault(self.headers["Idempotency-Key"], body)
        if self.server.forgets:
            self.server.forgets -= 1
            self.close_connection = True
            return
        self._answer(202)

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        parts = urlsplit(self.path)
        name = unquote(parts.path).removeprefix("/bank/files").removeprefix("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name and self.server.halves:
            self.server.halves -= 1
            content = self.server.contents[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif name:
            self._answer(200, self.server.contents[name])
        else:
            query = {key: value for key, [value] in parse_qs(parts.query).items()}
            self.server.asked.append(query.get("after", ""))
            names = [each["id"] for each in self.server.left]
            first = names.index(query["after"]) + 1 if "after" in query else 0
            page = self.server.left[first : first + 2]
            more = first + 2 < len(names)
            self._answer(200, json.dumps({"data": page, "has_more": more}).encode())


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.end()


def at(bank: Bank, taken: Memory | None = None, **changes: Any) -> HttpBank:
    given: dict[str, Any] = {
        "secret": TOKEN,
        "taken": taken or Memory(),
        "cursor": Cursor(),
        "connector": lambda: public_connector(allow_loopback=True),
        "allow_loopback": True,
        **changes,
    }
    scheme = "http" if bank.context is None else "https"
    return HttpBank(f"{scheme}://127.0.0.1:{bank.server_port}/bank", **given)


def test_a_file_whose_answer_was_lost_is_one_file(bank: Bank) -> None:
    bank.forgets = 1
    rail = at(bank)
    with pytest.raises(BankUnreachable):
        rail.put("BF1.xml", b"orders")
    rail.put("BF1.xml", b"orders")
    assert (bank.orders, bank.posts) == ({"BF1.xml": b"orders"}, 2)


def test_what_is_left_is_listed_after_what_is_done(bank: Bank) -> None:
    for name in ("a", "b", "c", "d e"):
        bank.leave(name, name.encode() * 10)
    taken, cursor = Memory(), Cursor()
    rail = at(bank, taken, cursor=cursor)
    assert rail.list() == ["a", "b", "c", "d e"]
    for name in ("a", "c", "d e"):
        assert rail.take(name, bytes_max=100) == name.encode() * 10
        rail.done(name)
    # The one that was not done keeps its place, and what came after is not taken again.
    assert (rail.list(), cursor.after) == (["b"], "a")
    with pytest.raises(FileTooLarge):
        rail.take("b", bytes_max=9)
    bank.contents["b"] = b"another"
    with pytest.raises(BankUnreachable, match="not what the bank's list says"):
        rail.take("b", bytes_max=100)
    rail.done("b")
    bank.asked.clear()
    assert (rail.list(), cursor.after, bank.asked) == ([], "d e", ["a", "c"])
    # Another process begins anew, and takes nothing twice.
    assert at(bank, taken).list() == []
    bank.leave("e\0", b"statement")
    with pytest.raises(BankUnreachable, match="can be kept"):
        at(bank, taken).list()


def test_what_is_done_hides_nothing_behind_one_that_is_not(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sakk.rails.bank.http.FILES_MAX", 3)
    for number in range(9):
        bank.leave(f"f{number}", b"x" * (number + 1))
    taken, cursor = Memory(), Cursor()
    rail = at(bank, taken, cursor=cursor)
    for expected in (["f0", "f1", "f2"], ["f0", "f3", "f4"], ["f0", "f5", "f6"]):
        assert rail.list() == expected
        # The first can not be taken; the others are.
        for name in expected[1:]:
            rail.done(name)


def test_whom_it_speaks_to_and_where_it_goes(bank: Bank) -> None:
    with pytest.raises(BankUnreachable, match="401"):
        at(bank, secret="wrong").put("BF1.xml", b"orders")
    with pytest.raises(BankUnreachable):
        at(bank, secret="two\nlines").put("BF1.xml", b"orders")
    inward = at(bank, allow_loopback=False)
    with pytest.raises(BankUnreachable, match="public address"):
        inward.list()
    with pytest.raises(BankUnreachable, match="answered 302"):
        at(bank).take("moved", bytes_max=10)
    # An answer that never ends is not read to its end.
    bank.contents["long"] = b"x" * 100_000
    with pytest.raises(FileTooLarge):
        at(bank).take("long", bytes_max=1_000)
    assert bank.orders == {}


def certificate(name: str) -> tuple[str, str]:
    """A certificate for itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_a_client_certificate_is_who_we_are(tmp_path: Path) -> None:
    theirs, their_key = certificate("bank")
    ours, our_key = certificate("acme")
    chain = tmp_path / "bank.pem"
    chain.write_text(theirs + their_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.load_verify_locations(cadata=ours)
    context.verify_mode = ssl.CERT_REQUIRED
    bank = Bank(context)
    try:
        at(bank, secret=ours + our_key, authority=theirs).put("BF1.xml", b"orders")
        for wrong in (
            {"secret": TOKEN, "authority": theirs},
            {"secret": ours + our_key, "authority": None},
            {"secret": ours + our_key, "authority": ours},
        ):
            with pytest.raises(BankUnreachable):
                at(bank, **wrong).put("BF2.xml", b"orders")
        assert bank.orders == {"BF1.xml": b"orders"}
    finally:
        bank.end()
