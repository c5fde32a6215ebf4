"""Where webhooks may go, how they are signed, when they are tried again."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks
import stripe

from sakk.core import webhook
from sakk.core.errors import ParameterInvalid
from sakk.core.webhook import DeliveryStatus, address_allowed, check_url, judge, retry_after_delay

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
REFUSED = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "100::1",
    "not an address",
    "2130706433",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert address_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_allowed_by_setting_alone(address: str) -> None:
    assert address_allowed(address, allow_loopback=True)
    assert not address_allowed(address, allow_loopback=False)


@pytest.mark.parametrize("address", REFUSED)
def test_other_addresses_are_refused_always(address: str) -> None:
    assert not address_allowed(address, allow_loopback=False)
    assert not address_allowed(address, allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks?a=1",
        "https://shop.example:8443/",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example./",
        "https://a_b.example",
    ],
)
def test_good_urls(url: str) -> None:
    assert check_url(url, allow_loopback=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/x",
        "http://localhost:9000/",
        "http://me.localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://127.0.0.1/",
    ],
)
def test_loopback_urls_by_setting_alone(url: str) -> None:
    assert check_url(url, allow_loopback=True) == url
    with pytest.raises(ParameterInvalid):
        check_url(url, allow_loopback=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://shop.example/", "must use https"),
        ("ftp://shop.example/", "must use https"),
        ("shop.example", "no host"),
        ("https://", "no host"),
        ("", "no host"),
        ("https://user:pass@shop.example/", "user or password"),
        ("https://@shop.example/", "user or password"),
        ("https://shop.example/#x", "fragment"),
        ("https://shop.example/#", "fragment"),
        ("https://shop.example:0/", "port 0"),
        ("https://shop.example:99999/", "malformed"),
        ("https://[::1/", "malformed"),
        ("https://shop.example/a b", "character"),
        ("https://shop.example\\@10.0.0.1/", "character"),
        ("https://shop.example/\r\nHost: x", "character"),
        ("https://bücher.example/", "character"),
        ("https://shop..example/", "malformed host"),
        ("https://-%41.example/", "malformed host"),
        (f"https://{'a' * 64}.example/", "malformed host"),
        ("https://shop.example/" + "a" * webhook.URL_LENGTH_MAX, "longer"),
        ("https://10.0.0.1/", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://[::ffff:a00:1]/", "not a public address"),
        ("https://[fd00:ec2::254]/", "not a public address"),
        ("https://2130706433/", "unusual form"),
        ("https://0x7f000001/", "unusual form"),
        ("https://0x7f.1/", "unusual form"),
        ("https://127.1/", "unusual form"),
        ("https://0177.0.0.1/", "unusual form"),
        ("https://127.0.0.1./", "unusual form"),
        ("https://shop.0x1/", "unusual form"),
        ("https://256.1.1.1/", "unusual form"),
    ],
)
def test_bad_urls(url: str, reason: str) -> None:
    for allow_loopback in (False, True):
        with pytest.raises(ParameterInvalid, match=reason) as raised:
            check_url(url, allow_loopback=allow_loopback)
        assert raised.value.param == "url"


def test_schedule_is_the_designs() -> None:
    hours = sum(webhook.RETRY_DELAYS, timedelta()) / timedelta(hours=1)
    assert webhook.ATTEMPTS_MAX == 10
    assert 75 < hours < 76


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_success(status: int) -> None:
    verdict = _judge(status)
    assert verdict.status is DeliveryStatus.succeeded
    assert verdict.next_attempt_at is None


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 307, 400, 404, 429, 500, 503])
def test_failure_is_tried_again(status: int | None) -> None:
    verdict = _judge(status)
    assert verdict.status is DeliveryStatus.pending
    assert verdict.next_attempt_at == NOW + timedelta(seconds=5)
    assert not verdict.gone


def test_gone_is_final() -> None:
    verdict = _judge(410)
    assert verdict.status is DeliveryStatus.failed
    assert verdict.gone
    assert verdict.next_attempt_at is None


@pytest.mark.parametrize("step", range(len(webhook.RETRY_DELAYS)))
def test_every_step_waits_its_delay_and_at_most_a_tenth_more(step: int) -> None:
    delay = webhook.RETRY_DELAYS[step]
    assert _judge(500, step=step).next_attempt_at == NOW + delay
    assert _judge(500, step=step, jitter=100).next_attempt_at == NOW + delay + delay / 10


def test_the_last_try_abandons() -> None:
    verdict = _judge(500, step=len(webhook.RETRY_DELAYS))
    assert verdict.status is DeliveryStatus.abandoned
    assert verdict.next_attempt_at is None


def test_jitter_is_bounded() -> None:
    with pytest.raises(ValueError, match="jitter_permille"):
        _judge(500, jitter=101)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, timedelta()),
        ("120", timedelta(seconds=120)),
        (" 7 ", timedelta(seconds=7)),
        ("999999", timedelta(days=1)),
        ("9" * 5000, timedelta(days=1)),
        ("-5", timedelta()),
        ("soon", timedelta()),
        ("", timedelta()),
        ("Sun, 01 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Sun, 01 Nov 2026 12:10:00 -0000", timedelta(minutes=10)),
        ("Sun, 01 Nov 2026 11:00:00 GMT", timedelta()),
        ("Sun, 01 Nov 2099 11:00:00 GMT", timedelta(days=1)),
        ("Sun, 99 Nov 2026 11:00:00 GMT", timedelta()),
    ],
)
def test_retry_after(value: str | None, expected: timedelta) -> None:
    assert retry_after_delay(value, now=NOW) == expected


def test_what_is_sent_once_is_not_tried_again() -> None:
    verdict = judge(
        response_status=500,
        retry_after="60",
        retry_step=0,
        now=NOW,
        jitter_permille=0,
        once=True,
    )
    assert verdict == webhook.Verdict(webhook.DeliveryStatus.failed, None)


def test_retry_after_lengthens_and_never_shortens() -> None:
    longer = judge(response_status=503, retry_after="60", retry_step=0, now=NOW, jitter_permille=0)
    assert longer.next_attempt_at == NOW + timedelta(seconds=60)
    shorter = judge(response_status=503, retry_after="60", retry_step=3, now=NOW, jitter_permille=0)
    assert shorter.next_attempt_at == NOW + timedelta(hours=2)


def test_both_libraries_verify_a_signature_and_no_changed_one() -> None:
    secret = webhook.make_secret(bytes(range(32)))
    body = json.dumps({"object": "event", "id": "evt_1", "data": {"object": {}}}).encode()
    timestamp = int(datetime.now(UTC).timestamp())
    headers = webhook.sign(body, event_id="evt_1", timestamp=timestamp, secrets=[secret])
    assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
    found = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    assert found.id == "evt_1"
    changed = body.replace(b"evt_1", b"evt_2")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(changed, headers)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(changed, headers["Stripe-Signature"], secret)


def test_secrets_have_a_form_and_are_redacted() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        webhook.make_secret(b"short")
    secret = webhook.make_secret(bytes(32))
    assert secret.startswith("whsec_")
    assert secret not in webhook.redact(secret)


def test_failing_too_long() -> None:
    assert not webhook.failing_too_long(None, now=NOW)
    assert not webhook.failing_too_long(NOW - timedelta(days=4), now=NOW)
    assert webhook.failing_too_long(NOW - timedelta(days=5), now=NOW)


def _judge(status: int | None, *, step: int = 0, jitter: int = 0) -> webhook.Verdict:
    return judge(
        response_status=status, retry_after=None, retry_step=step, now=NOW, jitter_permille=jitter
    )
