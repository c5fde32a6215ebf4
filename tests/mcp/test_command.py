"""``sakk mcp`` as an agent's host starts it, and ``sakk wallet`` as a person types it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.stdio import StdioServerParameters, stdio_client
from typer.testing import CliRunner

from mcp import Client
from sakk.cli.app import make_app
from tests.client.selling import NETWORK, PRICE, Seller, offer, serving

KEY = "0x" + "44" * 32
runner = CliRunner()


def sakk(*arguments: str) -> Any:
    return runner.invoke(make_app("wallet"), ["wallet", *arguments], env={"SAKK_AGENT_KEY": KEY})


def test_the_official_client_pays_through_the_command(tmp_path: Path) -> None:
    seller, log = Seller(), tmp_path / "payments.db"
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "sakk.cli", "mcp", "--log", str(log), "--total", "0.0015"],
        env={"SAKK_AGENT_KEY": KEY},
    )

    async def buy(url: str) -> list[Any]:
        async with Client(stdio_client(command)) as client:
            arguments = {"url": url, "max_price_usd": "0.01"}
            return [await client.call_tool("pay", arguments) for _ in range(2)]

    with serving(seller) as url:
        bought, over = asyncio.run(buy(url))
    assert bought.structured_content["text"] == "the goods"
    assert over.is_error
    assert "more than total leaves (500)" in over.content[0].text
    assert seller.revenue == PRICE
    lines = sakk("receipts", "--log", str(log), "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["paid"]


def test_a_person_quotes_pays_and_reads_the_receipts(tmp_path: Path) -> None:
    seller, log = Seller(), str(tmp_path / "payments.db")
    with serving(seller) as url:
        assert "0.001000" in sakk("quote", url).stdout
        paid = sakk("pay", url, "--log", log, "--once", "a", "--json")
        assert (paid.exit_code, json.loads(paid.stdout)["body"]) == (0, "the goods")
        again = sakk("pay", url, "--log", log, "--once", "a")
        assert again.exit_code == 1
        assert "nonce_already_used" in again.stderr
        plain = sakk("pay", url, "--log", log, "--host", url.split("/")[2])
        assert (plain.exit_code, plain.stdout) == (0, "the goods\n")
        assert "paid 0.001000 by exact" in plain.stderr
        assert sakk("pay", url, "--log", log, "--host", "other.example").exit_code == 1
    assert seller.revenue == 2 * PRICE
    assert sakk("receipts", "--log", log).stdout.count("paid") == 2


def test_a_coin_that_is_named_is_trusted(tmp_path: Path) -> None:
    coin = "0x" + "ab" * 20
    seller, log = Seller(offer(asset=coin, amount="5")), str(tmp_path / "payments.db")
    with serving(seller) as url:
        assert sakk("pay", url, "--log", log).exit_code == 1
        named = sakk("pay", url, "--log", log, "--coin", f"{NETWORK}/{coin}:usdt:6")
        assert (named.exit_code, seller.revenue) == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pay", "http://a", "--per-call", "0.0000001"], "--per-call must be dollars"),
        (["pay", "http://a", "--total", "much"], "--total must be dollars"),
        (["pay", "http://a", "--coin", "usdt"], "--coin must be as"),
        (["pay", "http://a", "--key-file", "/nowhere"], "--key-file"),
        (["pay", "http://a", "--key", "0x12"], "32 bytes, in hex"),
        (["receipts", "--log", "/nowhere"], "/nowhere does not exist"),
        (["check", "--log", "/nowhere", "--rpc", "http://a"], "--rpc must be as"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], said: str, tmp_path: Path) -> None:
    if arguments[0] == "pay":
        arguments = [*arguments, "--log", str(tmp_path / "payments.db")]
    result = sakk(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ").replace("│", "").replace("  ", " ")


def test_a_new_key_is_never_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    address = sakk("new", str(path)).stdout.strip()
    assert address.startswith("0x")
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    assert sakk("new", str(path)).exit_code == 2
    assert path.read_text() == before
