"""The mall over the API: shops are their merchant's, seen by the operator's word, bought in."""

import base64

from tests.api.checkout_objects import png
from tests.api.mall import create_mall
from tests.api.world import Api


def test_shops_are_their_merchants_and_anybody_buys_there(api: Api) -> None:
    buyer, operator = api.newcomer("buyer"), api.world.operator.key
    bob = buyer.key
    # The sweeps' own stays as it is.
    shop, product, purchase = create_mall(api, "coffee-shop").values()
    for path in (f"shops/{shop}", f"products/{product}"):
        assert api.call("GET", f"/v1/{path}", key=bob).status_code == 404
        assert api.call("POST", f"/v1/{path}", json={"name": "Bob's"}, key=bob).status_code == 404
    assert api.call("GET", f"/v1/purchases/{purchase}", key=bob).status_code == 404
    taken = {"name": "Bob", "handle": "COFFEE-shop", "currency": "usd"}
    refused = api.call("POST", "/v1/shops", json=taken, key=bob).json()["error"]
    assert refused["param"] == "handle"
    assert api.call("POST", f"/v1/shops/{shop}/approve", json={}, key=bob).status_code == 403
    wanted = {"shop": shop, "line_items": [{"product": product}]}
    bought = api.call("POST", "/v1/purchases", json=wanted, key=bob).json()
    assert (bought["amount"], bought["status"]) == (500, "reserved")
    assert bought["url"].startswith("/checkout/")
    again = api.call("GET", f"/v1/purchases/{bought['id']}", key=bob).json()
    assert (again["url"], again["buyer"]) == (None, buyer.account)
    api.call("POST", "/v1/probes/fund", json={"amount": 5_000_000}, key=bob)
    paid = {"session": bought["url"], "currency": "usdc"}
    moved = api.call("POST", "/v1/checkout_payments", json=paid, key=bob).json()
    assert (moved["status"], moved["amount"]) == ("posted", 5_000_000)
    mine = api.call("GET", f"/v1/purchases/{bought['id']}").json()
    assert mine["status"] == "paid"
    outgoing = api.call("GET", "/v1/purchases?direction=outgoing", key=bob).json()["data"]
    assert [each["id"] for each in outgoing] == [bought["id"]]
    changed = api.call(
        "POST",
        f"/v1/products/{product}",
        json={"stock": 0, "picture": base64.b64encode(png()).decode(), "tax_text": "No tax"},
    ).json()
    assert (changed["stock"], changed["tax_text"]) == (0, "No tax")
    assert changed["picture_url"].startswith("/mall/pictures/")
    assert api.call("POST", "/v1/purchases", json=wanted, key=bob).status_code == 400
    renamed = api.call("POST", f"/v1/shops/{shop}", json={"name": "A bank"}).json()
    assert renamed["review"] == "pending"
    assert api.call("POST", "/v1/purchases", json=wanted, key=bob).status_code == 404
    why = {"note": "It is no bank."}
    refused = api.call("POST", f"/v1/shops/{shop}/refuse", json=why, key=operator).json()
    assert (refused["review"], refused["review_note"]) == ("refused", "It is no bank.")
