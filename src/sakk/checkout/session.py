"""A payer's requests for a session: look, go on, get back what was too much, try it out."""

from typing import Final

from sakk.checkout import session_page
from sakk.checkout.visit import Response, Visit, message, page, redirect
from sakk.core import checkout_session as rules
from sakk.core import claim, gift_card, money
from sakk.core.claim import Claim
from sakk.core.errors import (
    BalanceInsufficient,
    ParameterInvalid,
    PermissionDenied,
    RateLimited,
    SakkError,
    UnexpectedState,
)
from sakk.core.evm import checksum_address
from sakk.core.peer import network_of
from sakk.flow import checkout_session as flow
from sakk.flow import claim as claims
from sakk.flow import gift_card_payment
from sakk.flow.checkout_session import Look
from sakk.flow.gift_card import Of
from sakk.flow.refund_draft import Place
from sakk.pages.language import mark, words
from sakk.store.identity import new_id

UNKNOWN: Final = mark("There is no such payment.")
UNKNOWN_HELP: Final = mark("Check the link, or ask the merchant for a new one.")
BUSY: Final = mark("Too many attempts, or we are busy. Try again in a minute.")
CARD_WRONG: Final = mark("There is no gift card with this code.")
CARD_REFUSED: Final = mark("This gift card can not pay here. Ask who issued it.")
# Of what is due, in halves: what a test wallet may send.
TEST_PARTS: Final = {"all": (1, 1), "half": (1, 2), "double": (2, 1)}


def look(visit: Visit) -> Look:
    """The session of a page; ResourceMissing."""
    with visit.parts.database.begin() as connection:
        return flow.look(connection, claim.token_hash(visit.token))


def show(visit: Visit) -> Response:
    """The page, wherever the payment stands."""
    return _shown(visit, look(visit))


def apply_gift_card(visit: Visit) -> Response:
    """Let a gift card pay; why it can not is said beside its field."""
    found = look(visit)
    session = found.session
    try:
        gift_card_payment.apply(
            visit.parts,
            found.intent.id,
            visit.field("code"),
            guessers=(found.intent.id, f"page:{network_of(visit.address)}"),
            of=Of(session.account_id, session.livemode, new_id(gift_card.MOVEMENT_PREFIX)),
        )
    except RateLimited:
        return _shown(visit, found, status=429, fault=BUSY)
    except (ParameterInvalid, UnexpectedState, PermissionDenied) as error:
        fault = CARD_WRONG if error.param == "code" else CARD_REFUSED
        return _shown(visit, found, status=400, fault=fault)
    return redirect(rules.page_path(visit.token))


def remove_gift_card(visit: Visit) -> Response:
    """Take a card off again that has not paid yet."""
    found = look(visit)
    with visit.parts.database.begin() as connection:
        gift_card_payment.take_off(connection, found.intent.id, visit.field("card"))
    return redirect(rules.page_path(visit.token))


def _shown(visit: Visit, found: Look, *, status: int = 200, fault: str = "") -> Response:
    language = visit.language(found.session.locale)
    values = session_page.values_of(found, visit.settings, chosen=visit.one("asset"), now=visit.now)
    return page(
        visit,
        "session.html",
        language=language,
        status=status,
        card_fault=words(language).gettext(fault) if fault else "",
        ancestors=session_page.ancestors_of(found),
        home=rules.page_path(visit.token),
        **values,
    )


def receipt(visit: Visit) -> Response:
    """What was paid, for the payer's papers; before that, the page itself."""
    found = look(visit)
    if rules.status_of(found.intent) != "complete":
        return redirect(rules.page_path(visit.token))
    values = session_page.values_of(found, visit.settings, chosen=None, now=visit.now)
    return page(
        visit,
        "receipt.html",
        language=visit.language(found.session.locale),
        home=rules.page_path(visit.token),
        **values,
    )


def ask_back(visit: Visit) -> Response:
    """Have what was paid too much sent back: then the payer says where to."""
    try:
        flow.claim_difference(visit.parts, claim.token_hash(visit.token))
    except (BalanceInsufficient, ParameterInvalid, UnexpectedState):
        # Nothing is left of it, or no network pays so little: the page says what there is.
        return redirect(rules.page_path(visit.token))
    return redirect(f"{rules.page_path(visit.token)}/refund")


def refund(visit: Visit) -> Response:
    """Where money that goes back is to be sent; the claim's own rules, under the page's token."""
    found = look(visit)
    home = rules.page_path(visit.token)
    if found.claim_hash is None:
        return redirect(home)
    language = visit.language(found.session.locale)
    network, address = visit.field("network"), visit.field("address").strip()
    fault = ""
    status = 200
    with visit.parts.database.begin() as connection:
        shown = claims.look(connection, found.claim_hash, now=visit.now)
    if visit.method == "POST":
        try:
            shown = _given(visit, found.claim_hash, Place(network, address))
        except ParameterInvalid as error:
            status, fault = 400, _fault(error, language)
        except UnexpectedState:
            return redirect(home)
    return page(
        visit,
        "refund.html",
        language=language,
        status=status,
        claim=shown,
        fault=fault,
        network=shown.network or network,
        address=address if shown.address is None else checksum_address(shown.address),
        home=home,
        merchant=found.merchant,
        livemode=found.session.livemode,
    )


def try_out(visit: Visit) -> Response:
    """Pay with test money, in the sandbox alone."""
    found = look(visit)
    payer = visit.settings.test_payer
    home = rules.page_path(visit.token)
    if payer is None or found.session.livemode:
        return message(visit, UNKNOWN, status=404, more=UNKNOWN_HELP)
    values = session_page.values_of(
        found, visit.settings, chosen=visit.field("asset"), now=visit.now
    )
    way = values["way"]
    times, parts = TEST_PARTS.get(visit.field("part"), TEST_PARTS["all"])
    payer(way.network, way.contract, way.address, money.divide_up(way.units * times, parts))
    return redirect(f"{home}?asset={way.asset}")


def status(visit: Visit) -> dict[str, object]:
    """Where the payment stands, for a shop's own page that shows this one in a frame."""
    found = look(visit)
    return {
        "object": "checkout.status",
        "status": rules.status_of(found.intent),
        "stand": found.progress.stand.value,
        "currency": found.intent.currency,
        "amount_due": found.progress.due,
        "amount_due_decimal": money.format_decimal(found.progress.due, found.intent.decimals),
        "expires_at": int(found.intent.expires_at.timestamp()),
    }


def _given(visit: Visit, claim_hash: str, place: Place) -> Claim:
    with visit.parts.database.begin() as connection:
        return claims.give(
            connection,
            claim_hash,
            place,
            now=visit.now,
            confirm=visit.field("confirm") == "true",
        )


def _fault(error: SakkError, language: str) -> str:
    say = words(language).gettext
    if error.param in ("destination[network]", "network"):
        return say("Choose one of the networks.")
    return say("This address can not be used on that network. Copy it again, from your own wallet.")
