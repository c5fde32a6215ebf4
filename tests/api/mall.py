"""A shop of Alice's, what it sells, and a purchase there."""

from tests.api.closed_loop import made
from tests.api.world import Api


def create_mall(api: Api, handle: str = "tea-shop") -> dict[str, str]:
    """One of each; the operator has approved the shop."""
    shop = made(api, "/v1/shops", {"name": "Tea", "handle": handle, "currency": "usd"})
    product = made(api, "/v1/products", {"shop": shop, "name": "Oolong", "price": 500, "stock": 9})
    operator = api.world.operator.key
    seen = {"digest": api.call("GET", f"/v1/shops/{shop}").json()["digest"]}
    answer = api.call("POST", f"/v1/shops/{shop}/approve", json=seen, key=operator)
    assert answer.status_code == 200, answer.text
    lines = [{"product": product, "quantity": 2}]
    purchase = made(api, "/v1/purchases", {"shop": shop, "line_items": lines})
    return {"shop": shop, "product": product, "purchase": purchase}
