"""Keys on channels: what is signed once, and what is sent with each call."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eth_account.messages import encode_typed_data

from sakk.core import session as rules
from sakk.core.evm import keccak256
from sakk.core.session import Session

NOW = datetime(2026, 11, 26, tzinfo=UTC)
NETWORK = "sakk:01jd8k00000000000000000000"
SIGNER = "0x8ba1f109551bd432803012645ac136ddd64dba72"
CHANNEL = "ch_01jd8k00000000000000000001"
SESSION = "ses_01jd8k00000000000000000002"
PAYEE = "acct_01jd8k00000000000000000003"
KEY = bytes(range(32))
HEAD = b"\x11" * 32

OPENING = rules.Opening(
    network=NETWORK,
    signer=SIGNER,
    mandate="",
    channel="",
    payee=PAYEE,
    currency="usdc",
    ceiling=50_000,
    salt=b"\x22" * 32,
    deadline=1_795_651_200,
)
VOUCHER = rules.VoucherBody(
    network=NETWORK, channel=CHANNEL, ceiling=100_000, spent=40_000, charges=40, head=HEAD
)
QUERY = rules.Query(network=NETWORK, signer=SIGNER, channel=CHANNEL, deadline=1_795_651_200)
CLOSING = rules.Closing(
    network=NETWORK, channel=CHANNEL, spent=40_000, charges=40, head=HEAD, deadline=1_795_651_200
)
REVOCATION = rules.Revocation(network=NETWORK, session=SESSION, deadline=1_795_651_200)


def _by_the_library(kind: str, fields: str, message: dict[str, object]) -> bytes:
    """The digest as eth-account computes it."""
    types = [{"type": part.split(" ")[0], "name": part.split(" ")[1]} for part in fields.split(",")]
    signable = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                ],
                kind: types,
            },
            "primaryType": kind,
            "domain": {"name": "Sakk sessions", "version": "1"},
            "message": message,
        }
    )
    return keccak256(b"\x19" + signable.version + signable.header + signable.body)


def test_what_is_signed_is_eip_712() -> None:
    assert rules.open_digest(OPENING) == _by_the_library(
        "OpenSession",
        "string network,address signer,string mandate,string channel,string payee,string currency,"
        "uint256 ceiling,bytes32 salt,uint64 deadline",
        {
            "network": NETWORK,
            "signer": SIGNER,
            "mandate": "",
            "channel": "",
            "payee": PAYEE,
            "currency": "usdc",
            "ceiling": 50_000,
            "salt": OPENING.salt,
            "deadline": OPENING.deadline,
        },
    )
    seen = {"spent": 40_000, "charges": 40, "head": HEAD}
    assert rules.voucher_digest(VOUCHER) == _by_the_library(
        "Voucher",
        "string network,string channel,uint256 ceiling,uint256 spent,uint64 charges,bytes32 head",
        {"network": NETWORK, "channel": CHANNEL, "ceiling": 100_000, **seen},
    )
    assert rules.query_digest(QUERY) == _by_the_library(
        "Query",
        "string network,address signer,string channel,uint64 deadline",
        {"network": NETWORK, "signer": SIGNER, "channel": CHANNEL, "deadline": QUERY.deadline},
    )
    assert rules.close_digest(CLOSING) == _by_the_library(
        "Close",
        "string network,string channel,uint256 spent,uint64 charges,bytes32 head,uint64 deadline",
        {"network": NETWORK, "channel": CHANNEL, "deadline": CLOSING.deadline, **seen},
    )
    assert rules.revoke_digest(REVOCATION) == _by_the_library(
        "Revoke",
        "string network,string session,uint64 deadline",
        {"network": NETWORK, "session": SESSION, "deadline": REVOCATION.deadline},
    )


def _call(**changed: object) -> bytes:
    said: dict[str, object] = {
        "nonce": 7,
        "amount": 1_000,
        "payee": rules.uuid_bytes(PAYEE),
        "request": rules.request_hash(b"GET", b"/a?b=1"),
    }
    return rules.call_mac(KEY, rules.uuid_bytes(SESSION), **{**said, **changed})  # type: ignore[arg-type]


def test_a_mac_is_of_every_field() -> None:
    other = rules.uuid_bytes(SESSION)
    macs = {
        _call(),
        _call(nonce=8),
        _call(amount=1_001),
        _call(payee=other),
        _call(request=rules.request_hash(b"POST", b"/a?b=1")),
        _call(request=rules.request_hash(b"GET", b"/a?b=2")),
        _call(request=rules.request_hash(b"GET", b"/a?b=1", b"\x01" * 32)),
        rules.call_mac(
            bytes(32),
            rules.uuid_bytes(SESSION),
            nonce=7,
            amount=1_000,
            payee=rules.uuid_bytes(PAYEE),
            request=rules.request_hash(b"GET", b"/a?b=1"),
        ),
    }
    assert len(macs) == 8


def test_a_request_can_not_be_read_in_two_ways() -> None:
    assert rules.request_hash(b"GET", b"T/a") != rules.request_hash(b"GETT", b"/a")


def test_a_receipt_says_which_step_it_is_of() -> None:
    said = {
        "nonce": 7,
        "amount": 1_000,
        "units": 0,
        "payee": rules.uuid_bytes(PAYEE),
        "request": rules.request_hash(b"GET", b"/"),
        "timestamp": 1_795_651_200_000_000_000,
    }
    session = rules.uuid_bytes(SESSION)
    reserved = rules.receipt_mac(KEY, session, step=1, **said)  # type: ignore[arg-type]
    committed = rules.receipt_mac(KEY, session, step=2, **said)  # type: ignore[arg-type]
    assert reserved != committed
    # No call's MAC is a receipt's: each begins with a name of its own.
    assert len({len(reserved), len(_call())}) == 1


def test_handles_are_62_bits_of_the_id() -> None:
    handles = {rules.handle_of(f"ses_{number}") for number in range(1_000)}
    assert len(handles) == 1_000
    assert max(handles) < 1 << 62


def test_an_installation_is_named_by_its_operator() -> None:
    assert rules.network_of("acct_01jd8k00000000000000000000") == NETWORK


@pytest.mark.parametrize(
    ("seconds", "fault"),
    [(-1, "has passed"), (0, None), (600, None), (601, "more than 10 minutes")],
)
def test_deadlines(seconds: int, fault: str | None) -> None:
    said = rules.deadline_fault(int((NOW + timedelta(seconds=seconds)).timestamp()), NOW)
    assert (fault is None and said is None) or (fault or "") in (said or "")


def test_what_is_shown() -> None:
    session = Session(
        id=SESSION,
        channel_id=CHANNEL,
        handle=1,
        salt=bytes(32),
        expires_at=NOW,
        created=NOW,
    )
    document = rules.public_session(session, livemode=False)
    assert (document["id"], document["channel"]) == (SESSION, CHANNEL)
    assert ("key" in document, document["revoked_at"]) == (False, None)
    revoked = rules.public_session(replace(session, revoked_at=NOW), livemode=False)
    assert revoked["revoked_at"] == int(NOW.timestamp())
