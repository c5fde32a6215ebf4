"""An agent's tools, as the official MCP client calls them: what is paid, and what is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mcp_types import CallToolResult, TextContent

from mcp import Client
from sakk.client.wallet import Wallet
from sakk.client.wallet_log import Limits
from sakk.client.wallet_policy import Policy
from sakk.mcp.server import Agent, build
from tests.client.selling import PAYEE, PRICE, Seller, offer, serving

KEY = "0x" + "22" * 32


def calling(agent: Agent, do: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(build(agent)) as client:
            return await do(client)

    return asyncio.run(run())


def call(agent: Agent, tool: str, **arguments: Any) -> CallToolResult:
    result: CallToolResult = calling(agent, lambda client: client.call_tool(tool, arguments))
    return result


def text_of(result: CallToolResult) -> str:
    [first] = result.content
    assert isinstance(first, TextContent)
    return first.text


def test_an_agent_without_an_account_has_the_tools_of_a_buyer() -> None:
    listed = calling(Agent(Wallet(KEY)), lambda client: client.list_tools())
    assert {tool.name for tool in listed.tools} == {"pay", "quote", "budget", "receipts"}


def test_a_price_is_told_and_nothing_is_paid() -> None:
    seller, agent = Seller(offer(scheme="upto"), offer()), Agent(Wallet(KEY))
    with serving(seller) as url:
        result = call(agent, "quote", url=url)
    assert result.structured_content is not None
    assert result.structured_content["price"] == "0.001000"
    assert [way["taken"] for way in result.structured_content["ways"]] == [False, True]
    assert seller.headers_seen == []


def test_the_agent_pays_once_and_sees_its_receipt_and_its_budget() -> None:
    agent = Agent(Wallet(KEY, Policy(limits=Limits(total=5 * PRICE))))
    seller = Seller()
    with serving(seller) as url:
        result = call(agent, "pay", url=url, max_price_usd="0.001", method="POST", body="{}")
        assert result.structured_content is not None
        bought = result.structured_content
        assert (bought["status"], bought["text"], bought["truncated"]) == (200, "the goods", False)
        assert bought["paid"]["value_usd"] == "0.001000"
        assert bought["paid"]["payee"] == PAYEE
        again = call(agent, "pay", url=url, max_price_usd="0.000999")
        assert again.is_error
        assert "more than a call may cost (999)" in text_of(again)
    assert seller.revenue == PRICE
    budget = call(agent, "budget").structured_content
    assert budget is not None
    assert budget["left"] == {"total": "0.004000"}
    [receipt] = (call(agent, "receipts").structured_content or {})["result"]
    assert (receipt["id"], receipt["state"]) == (bought["paid"]["id"], "paid")


def test_what_goes_wrong_is_told_in_words() -> None:
    agent = Agent(Wallet(KEY, Policy(hosts={"shop.example"})))
    cases = {
        "max_price_usd must be a positive number": {"max_price_usd": "0.0000001"},
        "is not among the sellers": {"url": "http://127.0.0.1:1/"},
        "must begin with http": {"url": "file:///etc/passwd"},
        "the request failed": {"url": "http://shop.example"},
    }
    for said, changed in cases.items():
        arguments = {"url": "https://shop.example/", "max_price_usd": "0.01"} | changed
        if said == "the request failed":
            agent = Agent(Wallet(KEY, Policy(hosts={"127.0.0.1:1"})))
            arguments["url"] = "http://127.0.0.1:1/"
        result = call(agent, "pay", **arguments)
        assert result.is_error
        assert said in text_of(result)


def test_a_payment_whose_fate_is_not_known_is_named() -> None:
    def gone(seller: Seller, *_: Any) -> Any:
        raise ConnectionResetError

    agent, seller = Agent(Wallet(KEY)), Seller(misbehave=gone)
    with serving(seller) as url:
        result = call(agent, "pay", url=url, max_price_usd="0.01", key="one")
        assert result.is_error
        assert "unknown" in text_of(result)
        seller.misbehave = None
        result = call(agent, "pay", url=url, max_price_usd="0.01", key="one")
    assert not result.is_error
    assert len(set(seller.headers_seen)) == len(seller.taken) == 1


def test_an_answer_that_breaks_off_after_it_was_paid_names_the_payment() -> None:
    def torn(seller: Seller, _: Any, payment: Any) -> Any:
        assert seller.take(payment)
        answer = seller.serve(payment)
        answer.headers["content-length"] = "1000"
        return answer

    agent, seller = Agent(Wallet(KEY)), Seller(misbehave=torn)
    with serving(seller) as url:
        result = call(agent, "pay", url=url, max_price_usd="0.01")
    [receipt] = agent.wallet.log.receipts()
    assert (result.is_error, receipt.state, seller.revenue) == (True, "paid", PRICE)
    assert f"payment {receipt.id}, paid" in text_of(result)
