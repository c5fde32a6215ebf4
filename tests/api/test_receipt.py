"""Receipts of a channel as a file: in pieces, of any length, checked by who has only the file."""

import json
from collections.abc import Callable, Iterator

import pytest

from sakk.client import escrow_receipt as client_escrow_receipt
from sakk.client import receipt as client_receipt
from sakk.flow import escrow_receipt, receipt
from sakk.ledger.projection import catch_up
from sakk.store import channel as channels
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.paying import open_path
from tests.api.vouchering import open_escrow
from tests.api.world import Api

CALLS = 5
Pieces = Callable[[str], Iterator[bytes]]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is full and followed by another."""
    for each in (receipt, escrow_receipt):
        monkeypatch.setattr(each, "PAGE", 2)
        monkeypatch.setattr(each, "LINKS_MAX", 2)


def told(api: Api, path: str, key: str) -> list[str]:
    answer = api.call("GET", path, key=key)
    assert answer.status_code == 200, answer.text
    return answer.text.splitlines()


def in_pieces(pieces: Pieces, lines: list[str], csv_lines: list[str]) -> None:
    """No piece is longer than a page, and all of them are what was told but for another key."""
    found = [piece.decode().splitlines() for piece in pieces("jsonl")]
    assert max(map(len, found)) == 2
    whole = [line for piece in found for line in piece]
    assert whole[:-1] == lines[:-1]
    assert json.loads(whole[-1])["head"] == json.loads(lines[-1])["head"]
    assert b"".join(pieces("csv")).decode().splitlines() == csv_lines


def test_a_sessions_calls_are_told_in_pieces(api: Api) -> None:
    path = open_path(api)
    for _ in range(CALLS):
        reserved = path.reserve(1_000)
        path.ask(reserved, path.end(reserved))
    catch_up(api.database.url)
    where = f"/v1/channels/{path.channel}/receipts"
    lines, sheet = told(api, where, path.payer.key), told(api, f"{where}?form=csv", path.payee.key)
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["channel", *["receipt"] * CALLS, "voucher", "head"]
    found = client_receipt.check_export(lines)
    assert (found.breaks, found.charges, found.spent) == ([], CALLS, CALLS * 1_000)
    assert [row.split(",")[2] for row in sheet] == ["amount", *["1000"] * CALLS]
    with api.database.begin() as connection:
        row = channels.find(connection, path.channel)
    assert row is not None
    vault = Vault(bytes(KEY_BYTES))
    in_pieces(lambda form: receipt.export(api.database, vault, row, form=form), lines, sheet)


def test_vouchers_calls_are_told_in_pieces_and_the_chain_is_kept(api: Api) -> None:
    channel = open_escrow(api)
    row, vault = channel.row, Vault(bytes(KEY_BYTES))
    for place in range(1, CALLS + 1):
        [reserved] = channel.ask(channel.record(place * 1_000))
        channel.ask(channel.end(place * 1_000, reserved))
        catch_up(api.database.url)
        if place in (1, CALLS):
            # Followed from where it was, and the same as from the start.
            stands = escrow_receipt.carry_on(api.database, row)
            assert (stands.charges, stands.spent) == (place, place * 1_000)
            assert escrow_receipt.carry_on(api.database, row) == stands
    where = f"/v1/escrow_channels/{row.id}/receipts"
    lines = told(api, where, channel.payee.key)
    sheet = told(api, f"{where}?form=csv", channel.payee.key)
    found = client_escrow_receipt.check_export(lines)
    assert (found.breaks, found.charges, found.signed) == ([], CALLS, CALLS * 1_000)
    assert found.head == stands.head.hex()
    in_pieces(lambda form: escrow_receipt.export(api.database, vault, row, form=form), lines, sheet)
