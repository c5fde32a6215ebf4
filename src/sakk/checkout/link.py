"""A payer's requests for a payment link: look, say how much, begin; and the code for a counter."""

from dataclasses import dataclass
from typing import Any

from sakk.checkout.session import UNKNOWN, UNKNOWN_HELP
from sakk.checkout.visit import Response, Visit, message, page, redirect
from sakk.core import branding as brand_rules
from sakk.core import checkout_session, claim
from sakk.core import payment_link as rules
from sakk.core.branding import Branding
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.money import format_decimal
from sakk.core.payment_link import PaymentLink
from sakk.flow import payment_link as flow
from sakk.flow.checkout_session import token_of
from sakk.flow.payment import read_catalogue
from sakk.pages.amount import read_amount
from sakk.pages.language import mark, words
from sakk.store import account as accounts
from sakk.store import branding as brandings
from sakk.store import payment_link as store
from sakk.store.identity import new_id

OVER = mark("This payment link is not in use.")
CROWDED = mark("Many people are paying here at this moment. Try again in a few minutes.")


@dataclass(frozen=True, slots=True)
class Shop:
    """A link and whose it is."""

    link: PaymentLink
    merchant: str | None
    brand: Branding | None


def show(visit: Visit) -> Response:
    """What is paid here, and how much if the payer says so."""
    shop = _found(visit)
    if shop is None:
        return message(visit, UNKNOWN, status=404, more=UNKNOWN_HELP)
    if not rules.is_usable(shop.link):
        return _over(visit, shop)
    return _form(visit, shop)


def begin(visit: Visit) -> Response:
    """Begin a session and go to its page; what is wrong with the amount is said beside it."""
    shop = _found(visit)
    if shop is None:
        return message(visit, UNKNOWN, status=404, more=UNKNOWN_HELP)
    link, typed = shop.link, visit.field("amount")
    amount = None
    language = visit.language()
    if link.amount is None:
        try:
            amount = read_amount(typed, link.decimals)
        except ValueError:
            fault = words(language).gettext("Write an amount, as 12.50.")
            return _form(visit, shop, typed=typed, fault=fault)
    vault = visit.parts.secrets_vault()
    try:
        with visit.parts.database.begin() as connection:
            session, _ = flow.begin(
                connection,
                read_catalogue(connection),
                vault,
                link.token_hash,
                amount,
                identifier=new_id(checkout_session.PREFIX),
                intent_id=new_id("pi"),
                locale=None,
                now=visit.now,
            )
    except ParameterInvalid:
        return _form(visit, shop, typed=typed, fault=_bounds(link, language))
    except UnexpectedState:
        if rules.is_usable(link):
            return message(visit, CROWDED, status=503)
        return _over(visit, shop)
    return redirect(checkout_session.page_path(token_of(vault, session.id)))


def poster(visit: Visit) -> Response:
    """The link's code, large, to be printed."""
    shop = _found(visit)
    if shop is None:
        return message(visit, UNKNOWN, status=404, more=UNKNOWN_HELP)
    url = visit.settings.public_url + rules.page_path(visit.token)
    return page(visit, "poster.html", language=visit.language(), url=url, **_values(shop))


def _found(visit: Visit) -> Shop | None:
    with visit.parts.database.begin() as connection:
        link = store.find_by_token(connection, claim.token_hash(visit.token))
        if link is None:
            return None
        account = accounts.find_account(connection, link.account_id)
        brand = brandings.find(connection, link.account_id)
    return Shop(link, None if account is None else account.name, brand)


def _form(visit: Visit, shop: Shop, *, typed: str = "", fault: str = "") -> Response:
    link = shop.link
    preset = "" if link.amount_preset is None else format_decimal(link.amount_preset, link.decimals)
    return page(
        visit,
        "link.html",
        language=visit.language(),
        status=400 if fault else 200,
        typed=typed or preset,
        fault=fault,
        fixed=None if link.amount is None else format_decimal(link.amount, link.decimals),
        least=None if link.amount_min is None else format_decimal(link.amount_min, link.decimals),
        most=None if link.amount_max is None else format_decimal(link.amount_max, link.decimals),
        **_values(shop),
    )


def _values(shop: Shop) -> dict[str, Any]:
    brand = shop.brand
    return {
        "link": shop.link,
        "merchant": shop.merchant,
        "brand": brand,
        "livemode": shop.link.livemode,
        "style": None
        if brand is None or brand.color is None
        else brand_rules.color_path(brand.color),
        "logo": None
        if brand is None or brand.logo_hash is None
        else brand_rules.logo_path(brand.logo_hash),
    }


def _over(visit: Visit, shop: Shop) -> Response:
    language = visit.language()
    text = shop.link.inactive_message or words(language).gettext(OVER)
    return page(visit, "message.html", language=language, status=410, text=text, more="")


def _bounds(link: PaymentLink, language: str) -> str:
    say = words(language).gettext
    least = format_decimal(link.amount_min or 1, link.decimals)
    if link.amount_max is None:
        return say("At least {least} {currency}.", least=least, currency=link.currency.upper())
    most = format_decimal(link.amount_max, link.decimals)
    return say(
        "{least} to {most} {currency}.",
        least=least,
        most=most,
        currency=link.currency.upper(),
    )
