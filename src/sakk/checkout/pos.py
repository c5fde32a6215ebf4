"""A till: a phone is paired once, types amounts, shows codes, and sees that it was paid."""

from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from sakk.checkout import session_page
from sakk.checkout.visit import Response, Visit, cookie, message, page, redirect
from sakk.core import checkout_session, claim
from sakk.core import pos_device as rules
from sakk.core.checkout_session import CheckoutSession, Stand, page_path
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.idempotency import object_id
from sakk.core.money import format_decimal
from sakk.core.pos_device import PosDevice
from sakk.core.volume import beginning
from sakk.flow import checkout_session as sessions
from sakk.flow import pos_device as flow
from sakk.flow.payment import read_catalogue
from sakk.pages.amount import read_amount
from sakk.pages.language import mark, words
from sakk.pages.moment import known_zone
from sakk.pages.once import ONCE, new_once, seed_of
from sakk.store import checkout_session as store
from sakk.store import pos_device as devices
from sakk.store.database import is_duplicate

COOKIE: Final = "sakk_pos"
COOKIE_SECONDS: Final = 400 * 86_400
ROOT: Final = "/pos"
# Where the phone is: a script of the keypad writes it.
ZONE: Final = "sakk_zone"
UNPAIRED: Final = mark("This phone is no till.")
UNPAIRED_HELP: Final = mark(
    "Open the pairing link that the shop's owner made for it. A link is good once, for a day."
)
ELSEWHERE: Final = mark("Send this from the page itself.")


def pairing(visit: Visit) -> Response:
    """Ask before a phone becomes the till: what only looks at links must not use them up."""
    with visit.parts.database.begin() as connection:
        device = devices.lock_pairing(connection, claim.token_hash(visit.token))
    if device is None or not rules.may_pair(device, visit.now):
        return message(visit, UNPAIRED, status=404, more=UNPAIRED_HELP)
    return page(visit, "pair.html", language=visit.language(), device=device)


def pair(visit: Visit) -> Response:
    """The phone becomes the till."""
    if not visit.is_ours:
        return message(visit, ELSEWHERE, status=403)
    try:
        with visit.parts.database.begin() as connection:
            _, token = flow.pair(connection, claim.token_hash(visit.token), now=visit.now)
    except ResourceMissing:
        return message(visit, UNPAIRED, status=404, more=UNPAIRED_HELP)
    response = redirect(ROOT)
    kept = cookie(COOKIE, token, visit.settings, path=ROOT, seconds=COOKIE_SECONDS)
    response.cookies.append(kept)
    return response


def keypad(visit: Visit, *, typed: str = "", fault: str = "") -> Response:
    """Type an amount; below it what was taken today, and what was asked before."""
    zone = known_zone(visit.cookies.get(ZONE))
    today = visit.now.astimezone(zone).date()
    with visit.parts.database.begin() as connection:
        device = _device(visit)
        rows = store.of_device(connection, device.id, limit=rules.SALES_SHOWN_MAX)
        stands = sessions.progress(connection, rows)
        found = devices.takings(connection, device, since=beginning(today, zone), zone="UTC")
    sales = [
        {
            "id": row.id,
            "decimal": format_decimal(stands[row.id][0].amount, device.decimals),
            "stand": stands[row.id][1].stand.value,
            "created": row.created,
        }
        for row in rows
    ]
    return page(
        visit,
        "pos.html",
        language=visit.language(),
        status=400 if fault else 200,
        device=device,
        sales=sales,
        takings=rules.together(found, today),
        zone=zone.key,
        once=new_once(),
        typed=typed,
        fault=fault,
    )


def sell(visit: Visit) -> Response:
    """Ask for an amount, and go to its code."""
    device = _device(visit)
    if not visit.is_ours:
        return message(visit, ELSEWHERE, status=403)
    typed = visit.field("amount")
    say = words(visit.language()).gettext
    try:
        amount = read_amount(typed, device.decimals)
    except ValueError:
        return keypad(visit, typed=typed, fault=say("Write an amount, as 12.50."))
    # Who taps twice asks once.
    seed = seed_of(visit.field(ONCE))
    if not rules.is_timely(seed, visit.now):
        seed = seed_of(None)
    identifier = object_id(seed, checkout_session.PREFIX, 0)
    try:
        with visit.parts.database.begin() as connection:
            known = _asked(connection, identifier, device)
            if known is not None and not _waits(connection, known, amount):
                # A keypad that a browser kept asks the next customer, who is not shown that the
                # one before has paid.
                seed, known = seed_of(None), None
                identifier = object_id(seed, checkout_session.PREFIX, 0)
            if known is None:
                flow.sell(
                    connection,
                    read_catalogue(connection),
                    visit.parts.secrets_vault(),
                    device,
                    amount,
                    identifier=identifier,
                    intent_id=object_id(seed, "pi", 0),
                    now=visit.now,
                )
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
    except ParameterInvalid:
        return keypad(visit, typed=typed, fault=say("This amount can not be asked for here."))
    return redirect(f"{ROOT}/sales/{identifier}")


def sale(visit: Visit) -> Response:
    """The code of a sale of this till, and whether it was paid."""
    device = _device(visit)
    with visit.parts.database.begin() as connection:
        session = _sale(visit, device)
        found = sessions.look_at(connection, session)
    values = session_page.values_of(found, visit.settings, chosen=visit.one("asset"), now=visit.now)
    token = sessions.token_of(visit.parts.secrets_vault(), session.id)
    return page(
        visit,
        "sale.html",
        language=visit.language(),
        device=device,
        shows_page=visit.one("code") == "page",
        page_url=visit.settings.public_url + page_path(token),
        home=f"{ROOT}/sales/{session.id}",
        **values,
    )


def session_of(visit: Visit) -> CheckoutSession:
    """The session of a sale of this till, for what is told of it as it happens."""
    return _sale(visit, _device(visit))


def _asked(connection: Connection, identifier: str, device: PosDevice) -> CheckoutSession | None:
    return store.find(
        connection, identifier, account_id=device.account_id, livemode=device.livemode
    )


def _waits(connection: Connection, session: CheckoutSession, amount: int) -> bool:
    """Is this amount what a sale asks for, and nothing of it there yet?"""
    intent, progress = sessions.progress(connection, [session])[session.id]
    return intent.amount == amount and progress.stand is Stand.awaiting


def _device(visit: Visit) -> PosDevice:
    with visit.parts.database.begin() as connection:
        return flow.find_paired(connection, visit.cookies.get(COOKIE, ""))


def _sale(visit: Visit, device: PosDevice) -> CheckoutSession:
    with visit.parts.database.begin() as connection:
        return flow.require_own(
            store.find(
                connection,
                visit.token,
                account_id=device.account_id,
                livemode=device.livemode,
            ),
            device,
        )
