"""The answer 402: what is asked, in x402's header and body, and as a page where a browser asks."""

import html
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from sakk.client.x402 import VERSION, Challenge, Requirement, Resource, encode_header
from sakk.paywall.errors import Refusal

Headers = list[tuple[bytes, bytes]]
UNPAID: Final = "PAYMENT-SIGNATURE header is required"
_STYLE: Final = """
:root{color-scheme:light dark;
--ink:#1d2329;--soft:#5b6670;--line:#d9dee3;--paper:#fff;--link:#0b5cad}
@media (prefers-color-scheme:dark){
:root{--ink:#e6eaee;--soft:#9aa5b1;--line:#38424c;--paper:#14181c;--link:#7ab8ff}}
*{box-sizing:border-box}
body{margin:0;padding:clamp(1.5rem,8vh,6rem) 1.25rem 3rem;background:var(--paper);color:var(--ink);
font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans Arabic",sans-serif}
main{max-width:42rem;margin:0 auto}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 1rem}
h2{font-size:1rem;margin:2rem 0 .5rem}
p{margin:0 0 1rem}
a{color:var(--link)}
.price{font-size:1.15rem}
code,li bdi{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
code{overflow-wrap:anywhere;unicode-bidi:isolate;direction:ltr}
ul{list-style:none;margin:0;padding:0;border-top:1px solid var(--line)}
li{padding:.75rem 0;border-bottom:1px solid var(--line)}
li strong{display:block;font-weight:600}
li span{color:var(--soft)}
"""
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src"
    f" 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
).encode()


@dataclass(frozen=True, slots=True)
class _Words:
    """What a page says, in one language; ``{what}``, ``{price}`` and such stand for parts."""

    direction: str
    title: str
    costs: str
    sold: str
    how: str
    ways: str
    way: str


_X402: Final = '<a href="https://www.x402.org">x402</a>'
_WORDS: Final = {
    "en": _Words(
        "ltr",
        "Payment required",
        "{what} costs {price} a call.",
        f"It is sold to programs over HTTP 402 ({_X402}, version 2): a client that has a wallet"
        " pays by itself and gets the answer at once. A browser alone can not.",
        "How to pay is in the header <code>PAYMENT-REQUIRED</code> of this answer, and in its body"
        " when it is asked for without <code>text/html</code>.",
        "Ways to pay",
        "{amount} smallest units of {asset} on {network}",
    ),
    "ar": _Words(
        "rtl",
        "الدفع مطلوب",
        "{what} بسعر {price} لكل طلب.",
        f"يُباع هذا للبرامج عبر HTTP 402 ({_X402}، الإصدار 2): البرنامج الذي لديه محفظة يدفع من"
        " تلقاء نفسه ويحصل على الإجابة فورًا. أما المتصفح وحده فلا يستطيع ذلك.",
        "طريقة الدفع مذكورة في ترويسة <code>PAYMENT-REQUIRED</code> لهذه الإجابة، وفي متنها عندما"
        " يُطلب من دون <code>text/html</code>.",
        "طرق الدفع",
        "{amount} من أصغر وحدات {asset} على {network}",
    ),
}
_PAGE: Final = """<!doctype html>
<html lang="{language}" dir="{direction}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{style}</style></head>
<body><main><h1>{title}</h1>
<p class="price">{costs}</p>
<p>{sold}</p>
<p>{how}</p>
<h2>{ways}</h2>
<ul>{list}</ul></main></body></html>
"""


def is_browser(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does somebody look at it? As x402's own servers decide."""
    accepts = agent = False
    for name, value in headers:
        if name == b"accept":
            accepts = b"text/html" in value
        elif name == b"user-agent":
            agent = b"Mozilla" in value
    return accepts and agent


def language_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The first language that a reader asks for and a page is written in (RFC 9110, 12.5.4)."""
    for name, value in headers:
        if name == b"accept-language":
            for each in value[:256].split(b","):
                language = each.split(b";")[0].split(b"-")[0].strip().lower().decode("latin-1")
                if language in _WORDS:
                    return language
    return "en"


def challenge_of(
    requirements: Sequence[Requirement], resource: Resource, refusal: Refusal | None
) -> Challenge:
    """Every way to pay, and why what was sent was not enough."""
    return Challenge(
        x402_version=VERSION,
        accepts=list(requirements),
        error=UNPAID if refusal is None else refusal.code,
        resource=resource,
    )


def answer_of(challenge: Challenge, *, price: str, page: str | None) -> tuple[Headers, bytes]:
    """The head's fields and the body of an answer 402; ``page``: in which language it is one."""
    header = encode_header(challenge).encode()
    if page is not None:
        body = _page(challenge, price, page)
        media_type = b"text/html; charset=utf-8"
    else:
        body, media_type = msgspec.json.encode(challenge), b"application/json"
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"payment-required", header),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept, accept-language, payment-signature"),
    ]
    if page is not None:
        headers += [
            (b"content-language", page.encode()),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
    return headers, body


def _page(challenge: Challenge, price: str, language: str) -> bytes:
    words = _WORDS[language]
    ways = "".join(
        f"<li><strong><bdi>{html.escape(each.scheme)}</bdi></strong><span>"
        + words.way.format(
            amount=_code(each.amount), asset=_code(each.asset), network=_code(each.network)
        )
        + "</span></li>"
        for each in challenge.accepts
    )
    resource = challenge.resource or Resource()
    what = f"<bdi>{html.escape(resource.description or resource.url)}</bdi>"
    return _PAGE.format(
        language=language,
        direction=words.direction,
        title=words.title,
        style=_STYLE,
        costs=words.costs.format(what=what, price=f"<bdi>{html.escape(price)}</bdi>"),
        sold=words.sold,
        how=words.how,
        ways=words.ways,
        list=ways,
    ).encode()


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>"
