"""The JSON-RPC client: what is an answer, what is a refusal, and what is neither."""

import subprocess
import sys
import traceback

import pytest

from sakk.core.errors import Misconfigured
from sakk.rails.evm.rpc import (
    BATCH_MAX,
    Call,
    Rpc,
    RpcDisagreement,
    RpcInconsistent,
    RpcRefused,
    RpcUnavailable,
    parse_data,
    parse_quantity,
)
from tests.chain import Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import LyingNode, Refuse

DEAD_URL = "http://127.0.0.1:9"


# Answers of types that nobody has read, by threads that take turns as often as they can.
FIRST_READS = """
import sys, threading
import msgspec
from sakk.rails.evm.rpc import _decoder
sys.setswitchinterval(1e-6)

def read(kind, body):
    start.wait()
    _decoder(kind, False).decode(body)

for number in range(100):
    inner = [msgspec.defstruct(f"Inner{each}", [("x", int)]) for each in range(20)]
    outer = msgspec.defstruct("Outer", [(f"f{each}", kind) for each, kind in enumerate(inner)])
    content = "{" + ",".join(f'"f{each}":{{"x":1}}' for each in range(20)) + "}"
    start = threading.Barrier(4)
    threads = [
        threading.Thread(target=read, args=(kind, f'{{"id":1,"result":{answer}}}'.encode()))
        for kind, answer in (
            (outer, content), (list[outer], f"[{content}]"),
            (dict[str, outer], f'{{"a":{content}}}'), (tuple[outer, ...], f"[{content}]"),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_first_answers_are_read_by_many_threads_at_once() -> None:
    """A process that one of them would crash is another one."""
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_READS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0x0", 0), ("0x1", 1), ("0xfF", 255), ("0x" + "f" * 64, 2**256 - 1)],
)
def test_quantity_is_read(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "1",
        "0x01",
        "0x_1",
        " 0x1",
        "0x1 ",
        "0x1\n",
        "-0x1",
        "0xg",
        "0x1" + "0" * 64,
        "0X1",
    ],
)
def test_malformed_quantity_is_inconsistent(text: str) -> None:
    with pytest.raises(RpcInconsistent):
        parse_quantity(text)


def test_quantity_is_bounded() -> None:
    assert parse_quantity("0xff", maximum=255) == 255
    with pytest.raises(RpcInconsistent, match="out of range"):
        parse_quantity("0x100", maximum=255)


def test_data_is_whole_bytes() -> None:
    assert parse_data("0x") == b""
    assert parse_data("0x00fF", length=2) == b"\x00\xff"
    for text in ("0x0", "00", "0xzz", "0x00\n"):
        with pytest.raises(RpcInconsistent):
            parse_data(text)
    with pytest.raises(RpcInconsistent, match="2 bytes where 32 belong"):
        parse_data("0x0000", length=32)


def test_call_and_batch_against_a_node(chain: Chain, rpc: Rpc) -> None:
    assert rpc.call("eth_chainId", [], str) == "0x14a34"
    assert rpc.find("eth_getBlockByNumber", ["0xffffff", False], object) is None
    numbers = range(chain.height())
    calls = [Call("eth_getBlockByNumber", [hex(number % 6), False]) for number in range(150)]
    assert len(calls) > BATCH_MAX > len(numbers)
    blocks = rpc.batch(calls, dict[str, object])
    assert [block["number"] for block in blocks] == [hex(number % 6) for number in range(150)]


def test_stated_error_is_a_refusal(rpc: Rpc) -> None:
    with pytest.raises(RpcRefused) as caught:
        rpc.call("eth_nonsense", [], str)
    assert caught.value.is_method_missing
    assert "eth_nonsense was refused" in caught.value.message
    answers = rpc.batch_each([Call("eth_nonsense", []), Call("eth_chainId", [])], str)
    assert isinstance(answers[0], RpcRefused)
    assert answers[1] == "0x14a34"


def test_next_provider_answers_for_a_dead_one(chain: Chain, open_rpc: OpenRpc) -> None:
    rpc = open_rpc(DEAD_URL, chain.rpc_url)
    assert rpc.call("eth_chainId", [], str) == "0x14a34"
    with pytest.raises(RpcUnavailable):
        open_rpc(DEAD_URL).call("eth_chainId", [], str)


def test_retries_are_bounded_and_back_off(liar: LyingNode) -> None:
    slept: list[float] = []
    rpc = Rpc([liar.url], attempts_max=3, sleep=slept.append)
    liar.status = 503
    with pytest.raises(RpcUnavailable, match="HTTP 503"):
        rpc.call("eth_chainId", [], str)
    rpc.close()
    assert liar.calls == ["eth_chainId"] * 3
    assert slept == [0.1, 0.2]


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500, 502])
def test_http_errors_are_no_answers(liar: LyingNode, open_rpc: OpenRpc, status: int) -> None:
    liar.status = status
    with pytest.raises(RpcUnavailable):
        open_rpc(liar.url).call("eth_chainId", [], str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"null",
        b"[]",
        b'{"id":1}',
        b'{"id":99,"result":"0x1"}',
        b'{"id":null,"result":"0x1"}',
        b'{"id":1,"result":7}',
    ],
)
def test_unreadable_answers_are_no_answers(liar: LyingNode, open_rpc: OpenRpc, body: bytes) -> None:
    liar.raw_body = body
    with pytest.raises(RpcUnavailable):
        open_rpc(liar.url).call("eth_chainId", [], str)


def test_null_where_something_belongs_is_no_answer(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.answer("eth_chainId", lambda params, result: None)
    with pytest.raises(RpcInconsistent, match="with nothing"):
        open_rpc(liar.url).call("eth_chainId", [], str)


def test_batch_with_a_missing_answer_is_no_answer(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.raw_body = b'[{"id":1,"result":"0x1"}]'
    with pytest.raises(RpcInconsistent, match="answered 1 of 2"):
        open_rpc(liar.url).batch([Call("eth_chainId", [])] * 2, str)


def test_batch_refused_as_a_whole(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.raw_body = b'{"id":null,"error":{"code":-32600,"message":"no batches"}}'
    with pytest.raises(RpcRefused, match="no batches"):
        open_rpc(liar.url).batch([Call("eth_chainId", [])] * 2, str)


def test_rate_limit_is_later_and_not_no(chain: Chain, liar: LyingNode, open_rpc: OpenRpc) -> None:
    def refuse(params: object, result: object) -> object:
        raise Refuse(-32005, "too many requests")

    liar.answer("eth_chainId", refuse)
    with pytest.raises(RpcUnavailable, match="repeated later"):
        open_rpc(liar.url).call("eth_chainId", [], str)
    assert open_rpc(liar.url, chain.rpc_url).call("eth_chainId", [], str) == "0x14a34"


def test_two_providers_are_compared(chain: Chain, liar: LyingNode, open_rpc: OpenRpc) -> None:
    rpc = open_rpc(chain.rpc_url, liar.url)
    assert rpc.compare("eth_chainId", [], str) == "0x14a34"
    liar.answer("eth_chainId", lambda params, result: "0x1")
    with pytest.raises(RpcDisagreement):
        rpc.compare("eth_chainId", [], str)
    with pytest.raises(Misconfigured, match="two RPC URLs"):
        open_rpc(chain.rpc_url).compare("eth_chainId", [], str)


def test_credentials_in_the_url_are_never_shown(open_rpc: OpenRpc) -> None:
    rpc = open_rpc("http://user:hunter2@127.0.0.1:9/v3/s3cret?key=s3cret")
    with pytest.raises(RpcUnavailable) as caught:
        rpc.call("eth_chainId", [], str)
    shown = "".join(traceback.format_exception(caught.value)) + repr(rpc.providers)
    assert rpc.providers == ("127.0.0.1:9",)
    assert "hunter2" not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("url", ["", "ftp://host", "host:8545", "http://"])
def test_url_must_be_http(url: str) -> None:
    with pytest.raises(Misconfigured):
        Rpc([url])
    with pytest.raises(Misconfigured):
        Rpc([])
