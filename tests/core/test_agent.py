"""Agents: a request is signed whole, by the mandate's own key, and is good for minutes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core import agent
from sakk.core.agent import Credential
from sakk.core.errors import AuthenticationFailed

from .test_mandate import AGENT, OWNER, START, mandate, numbers

NOW = datetime.fromtimestamp(START, UTC)
MANDATE = mandate()
PATH = f"/v1/mandates/{MANDATE.id}/spends"
BODY = b'{"amount":1}'


def signed(who: Any = AGENT, **values: Any) -> Credential:
    asked: dict[str, Any] = {
        "mandate": MANDATE.id,
        "method": "POST",
        "path": PATH,
        "body": BODY,
        "time": START,
        **values,
    }
    typed = numbers(agent.typed_data(**asked))
    signature = who.sign_typed_data(full_message=typed).signature.hex()
    return Credential(MANDATE.id, asked["time"], signature)


def test_an_agent_may_spend_under_its_mandate_and_no_more() -> None:
    for seconds in (-agent.AGE_SECONDS_MAX, agent.AGE_SECONDS_MAX):
        key = agent.check(
            MANDATE,
            signed(time=START + seconds),
            method="POST",
            path=PATH,
            body=BODY,
            now=NOW,
        )
        assert (key.mandate, key.account_id) == (MANDATE.id, MANDATE.account_id)
        assert (key.kind, key.livemode) == ("restricted", False)
        assert key.scopes == ["mandate_spends:read", "mandate_spends:write", "mandates:read"]


@pytest.mark.parametrize(
    ("credential", "asked"),
    [
        (signed(OWNER), {}),
        (signed(), {"method": "GET"}),
        (signed(), {"path": PATH + "?limit=1"}),
        (signed(), {"body": b'{"amount":2}'}),
        (signed(mandate="mnd_" + "1" * 26), {}),
        (replace(signed(), time=START + 1), {}),
        (replace(signed(), signature="0x12"), {}),
        (signed(time=START - agent.AGE_SECONDS_MAX - 1), {}),
        (signed(time=START + agent.AGE_SECONDS_MAX + 1), {}),
    ],
)
def test_another_request_is_not_signed(credential: Credential, asked: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"method": "POST", "path": PATH, "body": BODY, **asked}
    with pytest.raises(AuthenticationFailed):
        agent.check(MANDATE, credential, now=NOW, **whole)


def test_a_mandate_that_is_none_is_not_told_from_a_wrong_signature() -> None:
    with pytest.raises(AuthenticationFailed) as wrong:
        agent.check(MANDATE, signed(OWNER), method="POST", path=PATH, body=BODY, now=NOW)
    with pytest.raises(AuthenticationFailed) as none:
        agent.check(None, signed(), method="POST", path=PATH, body=BODY, now=NOW)
    assert wrong.value.message == none.value.message


def test_a_credential_is_read() -> None:
    assert agent.read_credential("mnd_1:7:0xabc") == Credential("mnd_1", 7, "0xabc")


@pytest.mark.parametrize("text", ["", "mnd_1", "mnd_1:x:0x", "mnd_1:²:0x", "po_1:7:0x"])
def test_what_is_no_credential_is_refused(text: str) -> None:
    with pytest.raises(AuthenticationFailed):
        agent.read_credential(text)
