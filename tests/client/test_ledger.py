"""The client's ledger: the same statuses, bits, bytes and fields as the server's."""

import inspect
import json
import struct
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel

from sakk.api import ledger as server
from sakk.api import ledger_history
from sakk.api.ledger_body import RECORDS as SERVER_RECORDS
from sakk.api.ledger_body import (
    LedgerAccountEvent,
    LedgerTransferEvent,
    read_at_once,
    read_the_long_way,
)
from sakk.client import (
    ApiError,
    LedgerAccountCreate,
    LedgerResult,
    LedgerTransferCreate,
    RateLimitError,
    SakkClient,
)
from sakk.client import ledger as client_ledger
from sakk.client.endpoint import ListOptions
from sakk.ledger.types import (
    AccountFlags,
    CreateAccountStatus,
    CreateTransferStatus,
    TransferFlags,
)
from sakk.ledger.wire import ACCOUNTS, TRANSFERS

from .conftest import Reply, Script

ONE, TWO = UUID(int=0x4000_8000_0000_0000_0001), UUID(int=0x4000_8000_0000_0000_0002)
TRANSFER = LedgerTransferCreate(
    id=ONE,
    debit_account_id=TWO,
    credit_account_id=str(ONE),
    amount=2**128 - 1,
    ledger=700,
    code=9,
    flags=["linked", "pending"],
    user_data="f" * 32,
    timeout_seconds=60,
    effective_at=2**63 - 1,
)
POST = LedgerTransferCreate(id=TWO, pending_id=ONE, flags=["post_pending"])
ACCOUNT = LedgerAccountCreate(id=ONE, ledger=700, code=1, flags=["history"], user_data=TWO)


def test_statuses_and_flags_are_the_servers() -> None:
    assert tuple(each.name for each in CreateTransferStatus) == client_ledger.TRANSFER_STATUSES
    assert tuple(each.name for each in CreateAccountStatus) == client_ledger.ACCOUNT_STATUSES
    for name in client_ledger.TRANSFER_STATUSES:
        transient = name in client_ledger.TRANSIENT_STATUSES
        assert transient == CreateTransferStatus[name].transient
    kinds: tuple[tuple[Any, Any], ...] = (
        (AccountFlags, client_ledger.AccountFlag),
        (TransferFlags, client_ledger.TransferFlag),
    )
    for flags, names in kinds:
        assert get_args(names) == tuple(each.name for each in flags if each)
        assert all(client_ledger._FLAG_BITS[name] == flags[name] for name in get_args(names))
    assert client_ledger.RECORDS == SERVER_RECORDS


@pytest.mark.parametrize(("noun", "events"), [(TRANSFERS, [TRANSFER, POST]), (ACCOUNTS, [ACCOUNT])])
def test_json_and_records_say_the_same(
    script: Script, client: SakkClient, noun: Any, events: list[Any]
) -> None:
    create = getattr(client.ledger, f"create_{noun.name}")
    answered = {"results": [{"status": "created", "timestamp": 5, "transient": False}] * 2}
    script.will(Reply(answered), Reply(struct.pack("<QQBB", 5, 6, 0, 1)))
    assert create(events)[0].accepted
    by_records = create(events, as_records=True)
    assert [each.status for each in by_records] == ["created", "exists"]
    assert [each.timestamp for each in by_records] == [5, 6]
    said, sent = script.asked
    assert (said.path, sent.path) == (f"/v1/ledger/{noun.name}",) * 2
    assert sent.headers["content-type"] == SERVER_RECORDS
    short = read_at_once(noun, said.body, "application/json", livemode=False)
    assert short == read_the_long_way(noun, said.body, "application/json", livemode=False)
    records = read_at_once(noun, sent.body, SERVER_RECORDS, livemode=False)
    assert short is not None
    assert records is not None
    assert short.records == records.records


def test_a_full_queue_is_waited_for_with_the_same_bytes(script: Script, client: SakkClient) -> None:
    full = Reply({"error": {"type": "rate_limit_error", "code": "rate_limit"}}, status=429)
    done = Reply({"results": [{"status": "created", "timestamp": 5, "transient": False}]})
    script.will(full, Reply(drop=True), done)
    assert client.ledger.create_transfers([TRANSFER])[0].status == "created"
    assert len({each.body for each in script.asked}) == 1
    script.will(full, full, full, full)
    with pytest.raises(RateLimitError):
        client.ledger.create_transfers([TRANSFER])


@pytest.mark.parametrize("body", [b"x", bytes(10), b'{"results":[{"status":1}]}'])
def test_answers_that_are_none(script: Script, client: SakkClient, body: bytes) -> None:
    script.will(Reply(body))
    with pytest.raises(ApiError, match="cannot be read"):
        client.ledger.create_transfers([TRANSFER], as_records=not body.startswith(b"{"))


def test_a_status_of_a_newer_server_is_a_refusal(script: Script, client: SakkClient) -> None:
    script.will(Reply(bytes(8) + b"\xfa"))
    [found] = client.ledger.create_transfers([TRANSFER], as_records=True)
    assert (found.status, found.accepted) == ("status_250", False)


@pytest.mark.parametrize("noun", ["accounts", "transfers"])
def test_records_that_are_cut_are_none(script: Script, client: SakkClient, noun: str) -> None:
    script.will(Reply(bytes(127)))
    with pytest.raises(ApiError, match="whole number of records"):
        getattr(client.ledger, f"look_up_{noun}")([ONE], as_records=True)


def test_amounts_that_are_none_can_not_be_packed() -> None:
    for amount in (-1, 2**128):
        with pytest.raises(OverflowError):
            client_ledger._transfer_record(LedgerTransferCreate(id=ONE, amount=amount))


LOOKED = [
    ("look_up_accounts", "accounts/lookup", "data"),
    ("look_up_transfers", "transfers/lookup", "data"),
    ("look_up_results", "transfers/results", "results"),
]


@pytest.mark.parametrize(("method", "path", "key"), LOOKED)
def test_look_ups(script: Script, client: SakkClient, method: str, path: str, key: str) -> None:
    script.will(Reply({key: [None, None]}))
    assert getattr(client.ledger, method)([ONE, str(TWO)]) == [None, None]
    assert script.asked[0].path == f"/v1/ledger/{path}"
    assert json.loads(script.asked[0].body) == {"ids": [str(ONE), str(TWO)]}


def test_pages_and_questions_go_where_they_belong(script: Script, client: SakkClient) -> None:
    page = {"data": [], "has_more": False}
    script.will(
        Reply(page),
        Reply(page),
        Reply({"object": "b", "account": "a", "as_of": 1} | {"balance": -5}),
    )
    client.ledger.list_transfers(account=ONE, code=3, limit=5)
    client.ledger.list_entries(ONE, order_by="effective_at")
    assert client.ledger.retrieve_balance(ONE, timestamp=7).balance == -5
    assert [(each.path, each.query) for each in script.asked] == [
        ("/v1/ledger/transfers", [("account", str(ONE)), ("code", "3"), ("limit", "5")]),
        (f"/v1/ledger/accounts/{ONE}/entries", [("order_by", "effective_at")]),
        (f"/v1/ledger/accounts/{ONE}/balance", [("timestamp", "7")]),
    ]


SHAPES: list[tuple[type[msgspec.Struct], type[BaseModel]]] = [
    (client_ledger.LedgerAccount, server.LedgerAccountShape),
    (client_ledger.LedgerTransfer, server.LedgerTransferShape),
    (client_ledger.LedgerEntry, ledger_history.LedgerEntryShape),
    (client_ledger.LedgerBalance, ledger_history.LedgerBalanceShape),
    (LedgerResult, server.LedgerTransferOutcome),
    (LedgerAccountCreate, LedgerAccountEvent),
    (LedgerTransferCreate, LedgerTransferEvent),
]


@pytest.mark.parametrize(("mine", "theirs"), SHAPES, ids=lambda each: each.__name__)
def test_every_field_has_its_place(mine: type[msgspec.Struct], theirs: type[BaseModel]) -> None:
    assert {field.name for field in msgspec.structs.fields(mine)} == set(theirs.model_fields)


def test_filters_are_the_servers() -> None:
    for method, theirs in (
        (client_ledger.Ledger.list_transfers, ledger_history.LedgerTransferListParameters),
        (client_ledger.Ledger.list_entries, ledger_history.LedgerEntryListParameters),
    ):
        parameters = inspect.signature(method).parameters.values()
        names = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        assert names | set(ListOptions.__annotations__) == set(theirs.model_fields)
