"""A pay-in that screening holds and two words seize, in a sandbox whose worker dies meanwhile."""

from collections.abc import Callable

from eth_utils.crypto import keccak

from sakk.core import chart
from sakk.rails.sandbox.wallet import Wallet
from tests.crash.house import House, await_true, await_value
from tests.crash.job import Merchant, query

GAS_WEI = 10**18
SEIZED_CENTS = 300


def seized_payment(house: House, merchant: Merchant) -> Callable[[], None]:
    """What screening holds is booked as seized, once, however often the worker dies over it."""
    key = "0x" + keccak(text="a payer whose coins are seized").hex()
    listed = house.stderr.parent / "seized-payers.txt"
    with Wallet(merchant.wallet.rpc.url, key) as payer:
        merchant.wallet.send_native(payer.address, GAS_WEI)
        given = merchant.wallet.transfer(house.token(), payer.address, SEIZED_CENTS * 10_000)
        merchant.wallet.wait(given)
        listed.write_text(f"{payer.address}\n")
        imported = house.run(
            *("lists", "import", str(listed), "--name", "seized-payers", "--format", "ofac"),
            *("--category", "sanctions"),
        )
        assert imported.returncode == 0, imported.stderr
        job = merchant.begin(cents=SEIZED_CENTS)
        paid = payer.transfer(house.token(), job.deposit, job.paid_units)

    def case() -> tuple[str, str] | None:
        rows = query(
            house,
            "SELECT p.id, c.id FROM payins p JOIN cases c ON c.subject = p.id"
            " WHERE p.tx_hash = %s AND p.status = 'held' AND p.quarantined",
            paid,
        )
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    payin, identifier = await_value(case, "the pay-in to be held")
    operator = house.client(house.description["operator_key"])
    proposed = operator.post(
        f"/v1/cases/{identifier}/propose", {"outcome": "seize", "place": "left"}
    )
    operator.post(f"/v1/cases/{identifier}/confirm", {"digest": proposed["digest"]})
    await_true(
        lambda: query(house, "SELECT status FROM cases WHERE id = %s", identifier) == [("closed",)],
        "the case to be closed",
    )
    merchant.await_event("payin.declined", payin)

    def compare() -> None:
        [shown] = merchant.client.get("/v1/payins", payment_intent=job.intent["id"])["data"]
        assert (shown["status"], shown["reason"]) == ("declined", None)
        name = chart.seized(f"{house.network()['network']}/erc20:{house.token().lower()}").name
        rows = query(
            house,
            "SELECT t.amount FROM ledger_transfers t"
            " JOIN ledger_account_names n ON n.id = t.credit_account_id WHERE n.name = %s",
            name,
        )
        assert rows == [(job.paid_units,)]
        merchant.compare_event("payin.declined", payin)

    return compare
