"""Messages to other institutions over real HTTPS: who is believed, and what an answer means."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fake_vasp import FakeVasp

from sakk.core.errors import Misconfigured
from sakk.core.ivms101 import IdentityPayload, read
from sakk.core.trp import API_VERSION, BODY_BYTES_MAX, Confirmation, Resolution
from sakk.flow.travel_exchange import Asked, TravelRail
from sakk.flow.trp import Credentials, TrpRail

PAYLOAD = read(
    IdentityPayload,
    {
        "originator": {
            "originatorPersons": [
                {
                    "legalPerson": {
                        "name": {
                            "nameIdentifier": [
                                {
                                    "legalPersonName": "Acme",
                                    "legalPersonNameIdentifierType": "LEGL",
                                }
                            ]
                        }
                    }
                }
            ]
        }
    },
    param="p",
)
ASKED = Asked({"dti": "4H95J0R2X"}, "1.50", "https://sakk.test/trp/resolutions/1", PAYLOAD)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVasp]:
    with FakeVasp(tmp_path_factory.mktemp("vasp")) as fake:
        yield fake


def rail(fake: FakeVasp, **changes: object) -> TravelRail:
    options: dict[str, object] = {"allow_loopback": True, "send_seconds_max": 5.0, **changes}
    return TrpRail(Credentials(authorities=fake.authority), **options)  # type: ignore[arg-type]


def test_an_inquiry_says_what_the_protocol_wants(fake: FakeVasp) -> None:
    fake.answer = lambda _: (200, b'{"approved":{"address":"0xabc","callback":"https://e.com"}}')
    told = rail(fake).inquire(f"{fake.url}/x?t=i", "id-1", ASKED)
    assert told.resolution == Resolution("0xabc", "https://e.com")
    message = fake.messages[-1]
    assert message.path == "/x?t=i"
    assert message.headers["api-version"] == API_VERSION
    assert message.headers["request-identifier"] == "id-1"
    assert message.headers["content-type"].startswith("application/json")
    assert message.body["amount"] == 1.5
    assert message.body["asset"] == {"dti": "4H95J0R2X"}
    assert message.body["callback"] == ASKED.callback
    assert "originator" in message.body["IVMS101"]


def test_resolutions_and_confirmations(fake: FakeVasp) -> None:
    fake.answer = lambda _: (204, b"")
    assert rail(fake).resolve(f"{fake.url}/r", "1", Resolution(rejected="No.")).taken
    assert fake.messages[-1].body == {"rejected": "No."}
    assert rail(fake).confirm(f"{fake.url}/c", "1", Confirmation(txid="0x1")).taken
    assert fake.messages[-1].body == {"txid": "0x1"}


@pytest.mark.parametrize(
    ("status", "body", "taken", "refused"),
    [
        (200, b'{"version":"3.2.1"}', True, False),
        (200, b"", True, False),
        (204, b"", True, False),
        (200, b"<html>", True, False),
        (200, b"{" + b" " * BODY_BYTES_MAX * 2, True, False),
        (302, b"", False, False),
        (400, b"", False, True),
        (404, b"", False, True),
        (429, b"", False, False),
        (500, b"", False, False),
        (503, b"", False, False),
    ],
)
def test_what_an_answer_means(
    fake: FakeVasp, status: int, body: bytes, taken: bool, refused: bool
) -> None:
    before = len(fake.messages)
    fake.answer = lambda _: (status, body)
    told = rail(fake).inquire(f"{fake.url}/x?t=i", "1", ASKED)
    assert (told.taken, told.refused) == (taken, refused)
    assert told.resolution is None or not told.resolution.is_final
    # A redirect is not followed.
    assert len(fake.messages) == before + 1


def test_who_is_not_known_is_told_nothing(fake: FakeVasp) -> None:
    before = len(fake.messages)
    # Another authority's file, so that loopback stays HTTPS.
    stranger = TrpRail(Credentials(authorities=fake.directory / "client.pem"), allow_loopback=True)
    told = stranger.inquire(f"{fake.url}/x?t=i", "1", ASKED)
    assert (told.taken, told.refused) == (False, False)
    assert told.error == "the TLS connection failed; check its certificate, and ours"
    assert len(fake.messages) == before


def test_loopback_and_private_addresses_are_not_reached(fake: FakeVasp) -> None:
    before = len(fake.messages)
    for url in (fake.url, "https://10.0.0.1", "https://localhost", "http://example.com"):
        told = rail(fake, allow_loopback=False).inquire(f"{url}/x?t=i", "1", ASKED)
        assert (told.taken, told.refused) == (False, True), url
    assert len(fake.messages) == before


def test_nobody_there(fake: FakeVasp) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        told = rail(fake).inquire(f"https://127.0.0.1:{port}/x?t=i", "1", ASKED)
    assert (told.taken, told.refused) == (False, False)
    assert told.error is not None
    assert "127.0.0.1" not in told.error


def test_mutual_certificates(tmp_path: Path) -> None:
    with FakeVasp(tmp_path, mutual=True) as fake:
        assert not rail(fake).inquire(f"{fake.url}/x?t=i", "1", ASKED).taken
        known = TrpRail(Credentials(fake.authority, *fake.client), allow_loopback=True)
        assert known.inquire(f"{fake.url}/x?t=i", "1", ASKED).taken


def test_certificates_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="can not be read"):
        Credentials(authorities=tmp_path / "missing.pem").context()
