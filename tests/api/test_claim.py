"""Claims without a key: JSON for programs, a page for people in their language, nothing guessed."""

import re
from typing import Any

import httpx2
import pytest

from sakk.api.claim_page import FAULTS
from sakk.api.limit import CLAIMS_PER_MINUTE_MAX, Limits
from sakk.core.errors import RateLimited
from sakk.pages.language import LANGUAGES, words
from tests.api.objects import NETWORK, paid_intent
from tests.api.world import USDC, Api, http

PAYER = "0x8ba1f109551bD432803012645Ac136ddd64DBA72"
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def link(api: Api) -> str:
    """A fresh claim link of 25 USDC."""
    funded = api.call("POST", "/v1/probes/fund", json={"amount": 25_000_000})
    assert funded.status_code == 200, funded.text
    answer = api.call("POST", "/v1/refunds", json={"payment_intent": paid_intent(api)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["next_action"]["claim"]["url"])


def call(api: Api, link: str, body: Any = None, **headers: str) -> httpx2.Response:
    """A request without a key."""
    if body is None:
        return http().get(api.url + link, headers=headers)
    return http().post(api.url + link, json=body, headers=headers)


def page(
    api: Api, link: str, form: dict[str, str] | None = None, language: str = "en"
) -> httpx2.Response:
    """What a browser gets."""
    headers = {"accept": BROWSER, "accept-language": language}
    if form is None:
        return http().get(api.url + link, headers=headers)
    return http().post(api.url + link, data=form, headers=headers)


def test_a_program_looks_checks_and_gives(api: Api, link: str) -> None:
    looked = call(api, link)
    assert looked.status_code == 200, looked.text
    shown = looked.json()
    assert (shown["status"], shown["amount"], shown["amount_decimal"], shown["currency"]) == (
        "open",
        25_000_000,
        "25.000000",
        "usdc",
    )
    assert (shown["merchant"], shown["destination"]) == ("alice", None)
    assert [each["network"] for each in shown["networks"]] == [NETWORK]
    assert looked.headers["x-robots-tag"] == "noindex, nofollow"
    assert looked.headers["cache-control"] == "no-store"
    place = {"network": NETWORK, "address": PAYER.lower()}
    checked = call(api, link, place).json()
    assert (checked["status"], checked["destination"]["address"]) == ("unconfirmed", PAYER)
    assert call(api, link).json()["status"] == "open"
    given = call(api, link, {**place, "confirm": True}).json()
    assert (given["status"], given["destination"]["address"]) == ("given", PAYER)
    again = call(api, link, {**place, "confirm": True})
    assert (again.status_code, again.json()["error"]["code"]) == (400, "unexpected_state")
    assert call(api, link).json()["status"] == "given"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "network"),
        ({"network": NETWORK}, "address"),
        ({"network": "eip155:1", "address": PAYER}, "destination[network]"),
        ({"network": NETWORK, "address": PAYER.replace("bD", "bd")}, "destination[address]"),
        ({"network": NETWORK, "address": "0x" + "00" * 20}, "destination[address]"),
        ({"network": NETWORK, "address": USDC}, "destination[address]"),
        ({"network": NETWORK, "address": PAYER, "confirm": "yes"}, "confirm"),
        ({"network": NETWORK, "address": PAYER, "amount": 1}, "amount"),
    ],
)
def test_a_wrong_place_is_told_with_its_field(
    api: Api, link: str, body: dict[str, Any], param: str
) -> None:
    answer = call(api, link, {"confirm": True, **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert call(api, link).json()["status"] == "open"


@pytest.mark.parametrize("token", ["A" * 43, "short", "%2e%2e%2f", "A" * 300])
def test_a_forged_link_is_not_found(api: Api, token: str) -> None:
    answer = call(api, f"/refund_claims/{token}")
    assert answer.status_code == 404
    seen = page(api, f"/refund_claims/{token}")
    assert seen.status_code == 404
    assert "There is no such refund" in seen.text or "url_unknown" in seen.text


def test_a_person_goes_through_the_page_without_a_script(api: Api, link: str) -> None:
    form = page(api, link)
    assert form.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in form.text
    assert not re.search(r"(src|href)=\"(?!/refund_claims/|/static/|#)", form.text)
    policy = form.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert form.headers["x-robots-tag"] == "noindex, nofollow"
    assert form.headers["referrer-policy"] == "same-origin"
    assert "25.00 USDC" in re.sub("<[^>]+>", "", form.text).replace("\u00a0", " ")
    confirm = page(api, link, {"network": NETWORK, "address": f" {PAYER.lower()} "})
    assert "Check every character" in confirm.text
    # In full, in its checksum form, in groups.
    shown = "".join(re.findall(r"<span>(0x|[0-9a-fA-Fx]{1,4})</span>", confirm.text))
    assert shown == PAYER
    given = page(api, link, {"network": NETWORK, "address": PAYER, "confirm": "true"})
    assert given.status_code == 200
    assert "Thank you" in given.text
    # Sent twice: what became of it, not a puzzle.
    twice = page(api, link, {"network": NETWORK, "address": PAYER, "confirm": "true"})
    assert "Thank you" in twice.text


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"network": "eip155:1", "address": PAYER}, "bad_network"),
        ({"network": NETWORK, "address": "0x123"}, "bad_address"),
        ({"network": NETWORK, "address": USDC}, "not_yours"),
        ({"network": NETWORK, "address": '"><script>alert(1)</script>'}, "bad_address"),
    ],
)
def test_what_is_wrong_is_said_in_the_payers_language(
    api: Api, link: str, form: dict[str, str], fault: str
) -> None:
    for language in LANGUAGES:
        seen = page(api, link, form, language)
        assert seen.status_code == 400
        assert f'lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in seen.text
        assert words(language).gettext(FAULTS[fault]) in seen.text
        assert "<script" not in seen.text


def test_looking_again_and_again_is_slowed_down() -> None:
    limits = Limits(
        requests_per_second=None, failures_per_minute=None, processes=1, clock=lambda: 0.0
    )
    for _ in range(CLAIMS_PER_MINUTE_MAX):
        limits.count_claim("203.0.113.7")
    with pytest.raises(RateLimited):
        limits.count_claim("203.0.113.7")
    limits.count_claim("203.0.113.8")
