"""``exact`` at the door: nobody is served for nothing, and nobody pays twice for one answer."""

import asyncio
import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from sakk.client.x402 import Settlement
from sakk.paywall import Exact, Paywall, Route, Used
from sakk.paywall.facilitator import Away, Declined, Verdict
from sakk.paywall.used import Claim, State

from .conftest import (
    NETWORK,
    NOW,
    PAY_TO,
    PAYER,
    USDC,
    Counter,
    FakeFacilitator,
    Reply,
    ask,
    authorisation,
    encoded,
    exact,
    paid,
    run,
)


def door(app: Any, facilitator: FakeFacilitator, **more: Any) -> Paywall:
    routes = [Route("GET /paid", "$0.001"), Route("GET /dear", "$0.002")]
    return Paywall(app, routes=routes, offers=[exact(facilitator, **more)])


async def challenge(app: Paywall, path: str = "/paid") -> dict[str, Any]:
    return (await ask(app, path)).challenge


def test_who_does_not_pay_is_told_how_to(facilitator: FakeFacilitator) -> None:
    app = Counter()
    reply = run(ask(door(app, facilitator)))
    assert (reply.status, app.calls) == (402, 0)
    assert reply.challenge == {
        "x402Version": 2,
        "error": "PAYMENT-SIGNATURE header is required",
        "resource": {"url": "http://shop.test/paid"},
        "accepts": [
            {
                "scheme": "exact",
                "network": NETWORK,
                "asset": USDC,
                "amount": "1000",
                "payTo": PAY_TO,
                "maxTimeoutSeconds": 60,
                "extra": {"name": "USDC", "version": "2"},
            }
        ],
    }
    assert reply.headers["cache-control"] == "no-store"


def test_a_browser_is_told_what_this_is(facilitator: FakeFacilitator) -> None:
    headers = {"accept": "text/html,*/*", "user-agent": "Mozilla/5.0"}
    reply = run(ask(door(Counter(), facilitator), headers=headers, query=b"q=<script>"))
    assert reply.status == 402
    assert reply.headers["content-type"].startswith("text/html")
    assert b"$0.001" in reply.body
    assert b"<script>" not in reply.body
    assert reply.challenge["accepts"][0]["amount"] == "1000"
    # Nothing is loaded, and nothing runs.
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    style = reply.body.split(b"<style>")[1].split(b"</style>")[0]
    digest = b64encode(hashlib.sha256(style).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    ("asked", "language", "direction"),
    [
        (None, "en", "ltr"),
        ("ar-EG,ar;q=0.9,en;q=0.8", "ar", "rtl"),
        ("de, EN-GB;q=0.7, ar;q=0.5", "en", "ltr"),
        ("tlh", "en", "ltr"),
    ],
)
def test_a_browser_is_told_in_its_readers_language(
    facilitator: FakeFacilitator, asked: str | None, language: str, direction: str
) -> None:
    headers = {"accept": "text/html", "user-agent": "Mozilla/5.0"}
    if asked is not None:
        headers["accept-language"] = asked
    reply = run(ask(door(Counter(), facilitator), headers=headers))
    assert f'<html lang="{language}" dir="{direction}">'.encode() in reply.body
    assert reply.headers["content-language"] == language
    assert "accept-language" in reply.headers["vary"]


def test_a_payment_is_settled_and_then_served(facilitator: FakeFacilitator) -> None:
    app = Counter()

    async def scenario() -> Reply:
        shop = door(app, facilitator)
        return await ask(shop, headers=paid(await challenge(shop), 7))

    reply = run(scenario())
    assert (reply.status, reply.body) == (200, b"served")
    assert reply.receipt == {
        "success": True,
        "transaction": f"0x{7:064x}",
        "network": NETWORK,
        "payer": PAYER,
    }
    assert reply.headers["cache-control"] == "private"
    payment = app.scopes[0]["state"]["payment"]
    assert payment is app.scopes[0]["sakk.payment"]
    assert (payment.payer, payment.amount, payment.currency) == (PAYER, 1000, "usdc")
    assert facilitator.asked == [("settle", f"0x{7:064x}")]


@pytest.mark.parametrize("settle", ["before", "after"])
def test_of_six_copies_one_reaches_the_handler(facilitator: FakeFacilitator, settle: str) -> None:
    app = Counter()
    # Even where the facilitator says yes to every copy.
    facilitator.lies = True

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, settle=settle)
        headers = paid(await challenge(shop))
        together = await asyncio.gather(*(ask(shop, headers=headers) for _ in range(6)))
        return [*together, await ask(shop, headers=headers)]

    replies = run(scenario())
    assert sorted(reply.status for reply in replies) == [200, *[402] * 6]
    assert app.calls == 1
    errors = {reply.challenge["error"] for reply in replies if reply.status == 402}
    assert errors <= {"payment_in_use", "payment_already_used"}
    assert replies[-1].challenge["error"] == "payment_already_used"


@pytest.mark.parametrize("settle", ["before", "after"])
def test_another_proof_of_the_same_nonce_is_a_copy(
    facilitator: FakeFacilitator, settle: str
) -> None:
    app = Counter()
    facilitator.lies = True

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, settle=settle)
        asked = await challenge(shop)
        forms = [authorisation(3), {**authorisation(3), "signature": "0x" + "22" * 64}]
        forms.append({**authorisation(3), "padding": 1})
        shouted = authorisation(3)
        shouted["authorization"]["from"] = PAYER.upper().replace("0X", "0x")
        forms.append(shouted)
        return [await ask(shop, headers=paid(asked, payload=form)) for form in forms]

    replies = run(scenario())
    assert [reply.status for reply in replies] == [200, 402, 402, 402]
    assert app.calls == 1


def test_another_wrapping_of_a_whole_transaction_is_a_copy() -> None:
    network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"

    class Yes(FakeFacilitator):
        async def settle(self, body: bytes, key: str, **_: Any) -> Settlement:
            sent = json.loads(body)["paymentPayload"]["payload"]["transaction"]
            return Settlement(success=True, transaction=sent, network=network, payer="payer")

    app, told = Counter(), Yes()
    offer = Exact(
        told,  # type: ignore[arg-type]
        network=network,
        asset="mint",
        pay_to="shop",
        currency="usdc",
        decimals=6,
    )

    async def scenario() -> list[int]:
        shop = Paywall(app, routes=[Route("GET /paid", "$0.001")], offers=[offer])
        asked = await challenge(shop)
        forms: list[dict[str, Any]] = [{"transaction": "AQID"}, {"transaction": "AQID", "x": 1}]
        return [(await ask(shop, headers=paid(asked, payload=form))).status for form in forms]

    assert run(scenario()) == [200, 402]
    assert app.calls == 1


def test_garbage_does_not_use_up_anothers_nonce(facilitator: FakeFacilitator) -> None:
    app = Counter()
    facilitator.outcomes = [Declined("invalid_exact_evm_payload_signature", "Bad."), None]

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator)
        asked = await challenge(shop)
        garbage = {**authorisation(3), "signature": "0x" + "00" * 65}
        return [
            await ask(shop, headers=paid(asked, payload=garbage)),
            await ask(shop, headers=paid(asked, 3)),
        ]

    refused, served = run(scenario())
    assert refused.status == 402
    assert refused.challenge["error"] == "invalid_exact_evm_payload_signature"
    assert refused.receipt["success"] is False
    assert served.status == 200


def test_a_settlement_is_good_for_what_it_was_made_for(facilitator: FakeFacilitator) -> None:
    app = Counter(status=500)

    async def scenario() -> Reply:
        shop = door(app, facilitator)
        cheap, dear = await challenge(shop), await challenge(shop, "/dear")
        payload = authorisation(5, amount=1000)
        await ask(shop, headers=paid(cheap, payload=payload))
        return await ask(shop, "/dear", headers=paid(dear, payload=payload))

    reply = run(scenario())
    assert reply.status == 402
    assert "value_mismatch" in reply.challenge["error"]
    assert app.calls == 1


def test_a_facilitator_that_is_away_takes_nothing(facilitator: FakeFacilitator) -> None:
    facilitator.outcomes = [Away("It is away."), None]

    async def scenario() -> list[Reply]:
        shop = door(Counter(), facilitator)
        headers = paid(await challenge(shop))
        return [await ask(shop, headers=headers) for _ in range(2)]

    assert [reply.status for reply in run(scenario())] == [503, 200]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": "0x" + "99" * 20}, "invalid_exact_evm_payload_recipient_mismatch"),
        ({"value": "999"}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"value": "1001"}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"validBefore": str(NOW)}, "invalid_exact_evm_payload_authorization_valid_before"),
        ({"validAfter": str(NOW + 31)}, "invalid_exact_evm_payload_authorization_valid_after"),
        ({"nonce": "0x1"}, "invalid_payload"),
        ({"from": "payer"}, "invalid_payload"),
        ({"value": "-1000"}, "invalid_payload"),
        ({"value": None}, "invalid_payload"),
        ({"nonce": "0x" + "zz" * 32}, "invalid_payload"),
    ],
)
def test_what_anybody_can_see_to_be_wrong_is_not_sent_on(
    facilitator: FakeFacilitator, changes: dict[str, Any], code: str
) -> None:
    app = Counter()

    async def scenario() -> Reply:
        shop = door(app, facilitator)
        payload = authorisation(1, amount=1000, **changes)
        return await ask(shop, headers=paid(await challenge(shop), payload=payload))

    reply = run(scenario())
    assert (reply.status, reply.challenge["error"]) == (402, code)
    assert (app.calls, facilitator.asked) == (0, [])


def accept(challenge: dict[str, Any], **changes: Any) -> dict[str, str]:
    accepted = {**challenge["accepts"][0], **changes}
    return {
        "payment-signature": encoded(
            {"x402Version": 2, "payload": authorisation(), "accepted": accepted}
        )
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "eip155:8453"},
        {"asset": "0x" + "12" * 20},
        {"amount": "1"},
        {"payTo": "0x" + "99" * 20},
        {"scheme": "upto"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_only_what_is_offered_is_taken(
    facilitator: FakeFacilitator, changes: dict[str, Any]
) -> None:
    app = Counter()

    async def scenario() -> Reply:
        shop = door(app, facilitator)
        return await ask(shop, headers=accept(await challenge(shop), **changes))

    reply = run(scenario())
    assert reply.challenge["error"] == "no_matching_payment_requirements"
    assert (app.calls, facilitator.asked) == (0, [])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage!",
        "e30=",
        encoded([]),
        encoded({"x402Version": 1, "payload": {}, "accepted": {}}),
        encoded({"x402Version": 2, "payload": {}}),
        encoded({"x402Version": 2, "payload": [], "accepted": {}}),
        "e" * 70_000,
        encoded(None) + "\x00",
    ],
)
def test_what_can_not_be_read_is_a_refusal(facilitator: FakeFacilitator, header: str) -> None:
    app = Counter()
    reply = run(ask(door(app, facilitator), headers={"payment-signature": header}))
    assert (reply.status, reply.challenge["error"], app.calls) == (402, "invalid_payload", 0)


def test_an_answer_is_held_until_it_is_settled(facilitator: FakeFacilitator) -> None:
    app = Counter()
    facilitator.pause = asyncio.Event()

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, settle="after")
        seen: list[bytes] = []
        headers = paid(await challenge(shop))
        asking = asyncio.create_task(ask(shop, headers=headers, on_chunk=seen.append))
        await app.started.wait()
        while ("settle", f"0x{1:064x}") not in facilitator.asked:
            await asyncio.sleep(0)
        assert seen == []
        assert facilitator.pause is not None
        facilitator.pause.set()
        return [await asking]

    [reply] = run(scenario())
    assert (reply.status, reply.body) == (200, b"served")
    assert reply.receipt["success"] is True
    assert [step for step, _ in facilitator.asked] == ["verify", "settle"]


def test_what_is_not_settled_after_the_handler_is_not_handed_out(
    facilitator: FakeFacilitator,
) -> None:
    app = Counter()
    facilitator.outcomes = [Declined("invalid_exact_evm_insufficient_balance", "Nothing left.")]

    async def scenario() -> Reply:
        shop = door(app, facilitator, settle="after")
        return await ask(shop, headers=paid(await challenge(shop)))

    reply = run(scenario())
    assert (reply.status, app.calls) == (402, 1)
    assert reply.challenge["error"] == "invalid_exact_evm_insufficient_balance"
    assert b"served" not in reply.body


def test_what_fails_is_not_settled_after_the_handler(facilitator: FakeFacilitator) -> None:
    app = Counter(status=404)

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, settle="after")
        headers = paid(await challenge(shop))
        missed = await ask(shop, headers=headers)
        app.status = 200
        return [missed, await ask(shop, headers=headers)]

    missed, served = run(scenario())
    assert (missed.status, "payment-response" in missed.headers) == (404, False)
    assert served.status == 200
    assert [step for step, _ in facilitator.asked] == ["verify", "verify", "settle"]


def test_who_is_not_verified_does_not_reach_the_handler(facilitator: FakeFacilitator) -> None:
    app = Counter()
    facilitator.verdicts = [Verdict(is_valid=False, invalid_reason="no"), Away("Away.")]

    async def scenario() -> list[Reply]:
        shop = door(app, facilitator, settle="after")
        headers = paid(await challenge(shop))
        return [await ask(shop, headers=headers) for _ in range(3)]

    refused, away, served = run(scenario())
    assert (refused.challenge["error"], away.status, served.status) == ("no", 503, 200)
    assert app.calls == 1


def test_another_process_knows_what_was_used(facilitator: FakeFacilitator, tmp_path: Path) -> None:
    facilitator.lies = True
    apps = [Counter(), Counter()]

    async def scenario() -> list[int]:
        shops = [door(app, facilitator, used=Used(tmp_path / "used.sqlite")) for app in apps]
        headers = paid(await challenge(shops[0]))
        statuses = [(await ask(shop, headers=headers)).status for shop in shops]
        for shop in shops:
            await shop.close()
        return statuses

    assert run(scenario()) == [200, 402]
    assert [app.calls for app in apps] == [1, 0]


def test_what_a_dead_process_held_is_open(tmp_path: Path) -> None:
    path = tmp_path / "used.sqlite"
    dead, living = Used(path), Used(path)
    claim = dead.claim(b"one", now=NOW, expires=NOW + 60)
    assert not isinstance(claim, State)
    # Two of one process: neither takes from the other what it holds.
    assert living.claim(b"one", now=NOW, expires=NOW + 60) is State.held
    # Of a process that is not there any more: no process has so high a number.
    with living._database as database:
        database.execute("UPDATE payment SET owner = '4194304:gone'")
    taken = living.claim(b"one", now=NOW, expires=NOW + 60)
    assert not isinstance(taken, State)
    assert (taken.key, taken.is_first) == (claim.key, False)
    for used in (dead, living):
        used.close()


def test_used_payments_are_forgotten_when_they_have_expired_for_long() -> None:
    used = Used()
    claim = used.claim(b"one", now=NOW, expires=NOW + 60)
    assert not isinstance(claim, State)
    used.end(claim, State.done)
    assert used.claim(b"one", now=NOW + 60 + 120, expires=0) is State.done
    assert used.claim(b"one", now=NOW + 60 + 121, expires=0) is not State.done
    used.close()


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sakk.paywall.used.PAYMENTS_MAX", 2)
    used = Used()
    for digest in (b"one", b"two"):
        assert isinstance(used.claim(digest, now=NOW, expires=NOW), Claim)
    with pytest.raises(OverflowError):
        used.claim(b"three", now=NOW, expires=NOW)
    assert used.claim(b"one", now=NOW, expires=NOW) is State.held
    assert isinstance(used.claim(b"three", now=NOW + 121, expires=NOW), Claim)
    used.close()


def test_permit2_is_asked_for_and_read(facilitator: FakeFacilitator) -> None:
    permit = {
        "from": PAYER,
        "permitted": {"token": USDC, "amount": "1000"},
        "spender": "0x" + "40" * 20,
        "nonce": "12",
        "deadline": str(NOW + 60),
        "witness": {"to": PAY_TO, "validAfter": "0"},
    }
    facilitator.outcomes = [
        Settlement(success=True, transaction="0x" + "a" * 64, network=NETWORK, payer=PAYER)
    ]
    other = {**permit, "permitted": {"token": "0x" + "12" * 20, "amount": "1000"}}

    async def scenario() -> list[Reply]:
        offers = [exact(facilitator, permit2=True)]
        shop = Paywall(Counter(), routes=[Route("/paid", "$0.001")], offers=offers)
        asked = await challenge(shop)
        assert asked["accepts"][0]["extra"]["assetTransferMethod"] == "permit2"
        return [
            await ask(shop, headers=paid(asked, payload={"permit2Authorization": each}))
            for each in (other, permit)
        ]

    refused, _ = run_permit(scenario, facilitator)
    assert refused.challenge["error"] == "permit2_token_mismatch"


def run_permit(scenario: Any, facilitator: FakeFacilitator) -> Any:
    """The fake reads nonces of EIP-3009; for Permit2 it is told what to answer."""

    async def settle(body: bytes, key: str, **_: Any) -> Any:
        return facilitator.outcomes.pop(0)

    facilitator.settle = settle  # type: ignore[method-assign]
    refused, served = run(scenario())
    assert served.status == 200
    return refused, served
