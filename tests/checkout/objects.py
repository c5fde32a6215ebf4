"""One of every page that payers and tills see."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from sakk.core.payment import quote_of
from sakk.flow import branding, pos_device
from sakk.flow import shop as shops
from sakk.flow.payment import read_catalogue
from sakk.store.database import update_records
from sakk.store.identity import new_id, now
from sakk.store.payment import payment_intents
from tests.api.checkout_objects import png
from tests.checkout.test_door import arrived, make_device, make_link
from tests.checkout.test_mall import make_shop
from tests.checkout.till import Counter


@dataclass(frozen=True, slots=True)
class Opened:
    """The addresses of the pages by what they are called here, and the till's cookie."""

    pages: dict[str, str]
    cookie: str

    @property
    def paths(self) -> list[str]:
        return list(self.pages.values())


def pages_of(counter: Counter) -> Opened:
    """To be paid, seen, paid in part, paid, ended; links in use and off; a till's; the mall's."""
    account = counter.world.alice.account
    support = {
        "support_email": "help@shop.example",
        "support_url": "https://shop.example/help",
        "support_phone": "+49 30 1234",
    }
    with counter.database.begin() as connection:
        branding.change(connection, account, support, livemode=True, now=now())
    (waiting, _), (seen, coming), (short, part), (paid, whole), (gone, ended) = (
        counter.session() for _ in range(5)
    )
    arrived(counter, coming)
    half = quote_of(part.quotes[0]).token_amount // 2
    arrived(
        counter, part, status="posted", token_amount=half, amount=half, tx_hash="0x" + "ad" * 32
    )
    usable, _ = make_link(counter)
    asking, _ = make_link(counter, amount=None, amount_min=100, amount_max=5_000)
    off, _ = make_link(counter, active=False)
    begun = counter.ask("POST", usable, {}, origin="http://pay.example").headers["location"]
    with counter.database.begin() as connection:
        # What a link says afterwards stands on the page of a session that was paid under it.
        connection.execute(
            text(
                "UPDATE payment_intents SET status = 'succeeded', amount_received = amount WHERE id"
                " IN (SELECT payment_intent FROM checkout_sessions WHERE payment_link IS NOT NULL)"
            )
        )
        changes = [
            {"id": part.id, "status": "processing", "amount_received": 1_250},
            {"id": whole.id, "status": "succeeded", "amount_received": 2_500},
            {"id": ended.id, "status": "expired", "amount_received": 0},
        ]
        update_records(connection, payment_intents, changes)
        _, token = pos_device.create(
            connection, read_catalogue(connection), make_device(counter, "Stall"), now=now()
        )
        _, unpaired = pos_device.create(
            connection, read_catalogue(connection), make_device(counter, "Shelf"), now=now()
        )
    answered = counter.ask("POST", f"/pos/pair/{token}", {}, origin="http://pay.example")
    cookie = answered.cookies[0].partition(";")[0]
    sale = counter.ask("POST", "/pos", {"amount": "12.50"}, cookie=cookie).headers["location"]
    return Opened(
        {
            "checkout": waiting,
            "checkout-seen": seen,
            "checkout-part": short,
            "checkout-paid": paid,
            "checkout-expired": gone,
            "checkout-of-link": begun,
            "receipt": f"{paid}/receipt",
            "refund": f"{waiting}/refund",
            "link": usable,
            "link-open": asking,
            "link-off": off,
            "poster": usable.replace("/pay/", "/shop/"),
            "till": "/pos",
            "till-sale": sale,
            "till-pairing": f"/pos/pair/{unpaired}",
            "mall": "/mall",
            "mall-empty": "/mall?category=art",
            "mall-shop": f"/mall/{_shops(counter)}",
        },
        cookie,
    )


def _shops(counter: Counter) -> str:
    """Two shops; the handle of one with a product of each kind."""
    shop, product = make_shop(counter)
    plain: dict[str, Any] = {"name": "The open book", "description": "Books, bought and sold."}
    make_shop(counter, handle="open-book", category="books", **plain)
    with counter.database.begin() as connection:
        for name, stock, picture in (("Oolong, 100 g", None, png()), ("Teapot", 0, None)):
            other: dict[str, Any] = {
                "name": name,
                "stock": stock,
                "tax_text": None,
                "description": None,
            }
            made = replace(product, id=new_id("prod"), **other)
            shops.add_product(connection, made, picture, public_url="")
    return shop.handle
