"""SIGKILL at every named failpoint, on both sides of every call, with the job under way.

Both sides of a call are armed at once: the process dies before the call, is started again, and dies
after it; the third one goes on. Calls of several parts, or of several steps, die in one job. Most
jobs die after a call alone, but for the long run.
"""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from eth_utils.crypto import keccak

from sakk.client.liability import verify as verify_proof
from sakk.core.evm import checksum_address
from sakk.ledger.verify import verify
from sakk.signing.policy import load_policy, write_policy
from tests.crash.agent import agents_channel, given_back
from tests.crash.banking import bank_account
from tests.crash.chained import adopted_surplus, outflow, reversed_payment
from tests.crash.channelled import escrow_channel
from tests.crash.cloning import cloned_payment
from tests.crash.house import House, await_true
from tests.crash.job import (
    Merchant,
    compare_books,
    compare_chain,
    prove_rows,
    query,
    transfers,
)
from tests.crash.mandate import agents_mandate
from tests.crash.paying import Shop
from tests.crash.seizure import seized_payment
from tests.crash.settling import (
    closed_position,
    converted_balance,
    platforms_fee,
    settled_account,
)
from tests.crash.telling import told_payout

SOURCES = Path(__file__).parents[2] / "src" / "sakk"
FUEL_WEI = 10**16
# A treasury key that pays for gas alone.
GAS_KEY = 5


Compare = Callable[[], None]
Scenario = Callable[[House, Merchant], Compare]


def _failpoints() -> dict[str, list[str]]:
    """Every failpoint in the source, by the call that it stands beside."""
    groups: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for name in re.findall(r'failpoint\(\s*f?"([^"]*)"', path.read_text()):
            if path.name != "failpoint.py":
                names = groups.setdefault(name.rpartition(".")[0], [])
                # Both ways in which a command meets its key die at the same two places.
                names += [name] if name not in names else []
    return groups


FAILPOINTS = _failpoints()


def whole_job(_: House, merchant: Merchant) -> Compare:
    """Paid, swept, paid out."""
    job = merchant.run()
    return lambda: merchant.compare(job)


def payout_alone(_: House, merchant: Merchant) -> Compare:
    """Paid out of what is there."""
    job = merchant.begin()
    merchant.send(job)
    merchant.await_end(job)
    return lambda: merchant.compare(job)


def stuck_payout(house: House, merchant: Merchant) -> Compare:
    """Paid out by a transaction that no block takes, and that an operator has offered for more."""
    job = merchant.begin()
    with house.miner.away_from(0):
        merchant.send(job)
        assert job.payout is not None
        merchant.await_event("payout.broadcast", job.payout["id"])
        [(sent,)] = query(house, "SELECT id FROM transactions WHERE subject = %s", job.payout["id"])
        asked = house.run("transactions", "replace", sent)
        assert asked.returncode == 0, asked.stderr

        def replaced() -> bool:
            return query(house, "SELECT replacements FROM transactions WHERE id = %s", sent) == [
                (1,)
            ]

        await_true(replaced, "the transaction to be signed anew")
    merchant.await_end(job)

    def compare() -> None:
        merchant.compare(job)
        rows = query(
            house,
            "SELECT attempt, status FROM transaction_attempts WHERE transaction = %s"
            " ORDER BY attempt",
            sent,
        )
        assert rows == [(0, "signed"), (1, "signed")]

    return compare


def payouts_together(house: House, merchant: Merchant) -> Compare:
    """Several in one request: the treasury allows the contract, and one transaction pays them."""
    jobs = [merchant.begin(payout_units=1_000_000) for _ in range(4)]
    merchant.send_together(jobs)
    for job in jobs:
        merchant.await_end(job)

    def compare() -> None:
        for job in jobs:
            merchant.compare(job)
        ids = [job.payout["id"] for job in jobs if job.payout is not None]
        [(carriers, purposes)] = query(
            house,
            "SELECT count(DISTINCT t.id), array_agg(DISTINCT t.purpose) FROM transactions t"
            " JOIN payouts p ON p.transaction = t.id WHERE p.id = ANY(%s)",
            ids,
        )
        assert (carriers, purposes) == (1, ["disperse"])

    return compare


def payment_alone(house: House, merchant: Merchant) -> Compare:
    """Paid and swept: the first transaction of ours is the deposit address's gas."""
    job = merchant.begin()
    with without_hub(house):
        merchant.pay(job)
        merchant.await_end(job)
    return lambda: merchant.compare(job)


@contextmanager
def without_hub(house: House) -> Iterator[None]:
    """Deposits go by their own keys."""
    query(house, "UPDATE hubs SET enabled = false RETURNING network")
    try:
        yield
    finally:
        query(house, "UPDATE hubs SET enabled = true RETURNING network")


def collected_payment(_: House, merchant: Merchant) -> Compare:
    """Paid and collected by the hub: one transaction of ours."""
    job = merchant.begin()
    merchant.pay(job)
    merchant.await_end(job)
    return lambda: merchant.compare(job)


def fuelled_payment(house: House, merchant: Merchant) -> Compare:
    """Paid and swept, with gas on the address already: the sweep is the only transaction of ours.

    The native coin is a pay-in of its own, which nobody asked for.
    """
    job = merchant.begin()
    with without_hub(house):
        merchant.wallet.send_native(job.deposit, FUEL_WEI)
        merchant.pay(job)
        merchant.await_end(job)
    return lambda: merchant.compare(job)


def new_account(house: House, merchant: Merchant) -> Compare:
    """A merchant whose accounts the ledger has never heard of."""
    operator = house.client(house.description["operator_key"])
    account = operator.post("/v1/accounts", {"business_profile": {"name": "Newcomer"}})
    with merchant.another(account["id"]) as newcomer:
        job = newcomer.run()
        newcomer.compare(job)
        newcomer.compare_balance()
    return lambda: None


def book_transfer(house: House, merchant: Merchant) -> Compare:
    """Money moved to another account of the house."""
    operator = house.client(house.description["operator_key"])
    other = operator.post("/v1/accounts", {"business_profile": {"name": "Neighbour"}})["id"]
    moved = merchant.client.post(
        "/v1/transfers", {"amount": 1_000_000, "currency": "usdc", "destination": other}
    )
    merchant.balance_units -= 1_000_000
    merchant.await_event("transfer.created", moved["id"])
    # And to an e-mail address, which the account proves when the money waits for it.
    address = f"{other}@example.com"
    neighbour = house.client(house.description["operator_key"], account=other)
    waiting = merchant.client.post(
        "/v1/transfers", {"amount": 250_000, "currency": "usdc", "destination": address}
    )
    merchant.balance_units -= 250_000
    alias = neighbour.post("/v1/aliases", {"kind": "email", "value": address})["id"]
    proof = neighbour.post(f"/v1/aliases/{alias}/code", {})
    neighbour.post(f"/v1/aliases/{alias}/verify", {"code": proof["code"]})
    merchant.await_event("transfer.created", waiting["id"])
    # And by a gift card, whose code is shown whoever dies, and which is redeemed in parts.
    card = merchant.client.post(
        "/v1/gift_cards", {"amount": 300_000, "currency": "usdc", "redeemable": "holder"}
    )
    merchant.balance_units -= 300_000
    for amount in (100_000, 200_000):
        neighbour.post("/v1/gift_cards/redeem", {"code": card["code"], "amount": amount})
    # And by many that are issued at once.
    batch = merchant.client.post(
        "/v1/gift_card_batches",
        {
            "cards": [{"amount": 50_000, "count": 2}],
            "currency": "usdc",
            "redeemable": "holder",
        },
    )
    merchant.balance_units -= 100_000
    file = merchant.client.post(f"/v1/gift_card_batches/{batch['id']}/codes", {})["file"]
    for line in file.splitlines()[1:]:
        neighbour.post("/v1/gift_cards/redeem", {"code": line.split(",")[1]})

    def compare() -> None:
        balance = neighbour.get("/v1/balance")["available"]
        assert [(each["currency"], each["amount"]) for each in balance] == [("usdc", 1_650_000)]
        found = merchant.client.get("/v1/transfers", destination=other)["data"]
        assert sorted((each["id"], each["status"]) for each in found) == sorted(
            (each["id"], "posted") for each in (moved, waiting)
        )

    return compare


def canceled_payout(house: House, merchant: Merchant) -> Compare:
    """A payout where the treasury has no coins waits, and is called off: its hold goes back."""
    job = merchant.begin()
    job.beneficiary = "0x" + "77" * 20
    waiting = merchant.client.post("/v1/payouts", merchant.payout_body(job, index=1))
    merchant.cancel_payout(waiting["id"])

    def released() -> bool:
        return query(house, "SELECT hold FROM payouts WHERE id = %s", waiting["id"]) == [
            ("voided",)
        ]

    await_true(released, "the hold to be given back")

    def compare() -> None:
        merchant.compare_event("payout.canceled", waiting["id"])
        with house.payer(1) as wallet:
            assert transfers(wallet, house.token(index=1), receiver=job.beneficiary) == []

    return compare


def payout_batch(house: House, merchant: Merchant) -> Compare:
    """Several payouts in one request, which dies before and after their money is held."""
    network = house.network(0)["network"]
    addresses = ["0x" + keccak(text=f"line {number}")[-20:].hex() for number in range(3)]
    body = {
        "lines": [
            {
                "amount": 1_000_000 + number,
                "currency": "usdc",
                "reference": f"line-{number}",
                "destination": {"network": network, "address": address},
            }
            for number, address in enumerate(addresses)
        ]
    }
    made = merchant.client.post("/v1/payout_batches", body)
    merchant.balance_units -= sum(1_000_000 + number for number in range(3))
    found = merchant.client.get(f"/v1/payout_batches/{made['id']}/payouts")["data"]
    for each in found:
        merchant.await_event("payout.posted", each["id"])

    def compare() -> None:
        shown = merchant.client.get(f"/v1/payout_batches/{made['id']}")
        assert [(each["status"], each["count"]) for each in shown["totals"]] == [("posted", 3)]
        counted = query(house, "SELECT count(*) FROM payouts WHERE batch = %s", made["id"])
        assert counted == [(3,)]
        for number, address in enumerate(addresses):
            got = transfers(merchant.wallet, house.token(), receiver=address)
            assert [each["units"] for each in got] == [1_000_000 + number]

    return compare


def refunded_payment(house: House, merchant: Merchant) -> Compare:
    """A payment goes back in part, once; another refund of it is called off before its claim."""
    job = merchant.begin()
    merchant.pay(job)
    merchant.await_end(job)
    payer = "0x" + "79" * 20
    place = {"network": house.network()["network"], "address": payer}
    intent = {"payment_intent": job.intent["id"]}
    sent = merchant.client.post("/v1/refunds", {**intent, "amount": 400, "destination": place})
    merchant.balance_units -= 4_000_000
    waiting = merchant.client.post("/v1/refunds", intent)
    assert (waiting["status"], waiting["amount"]) == ("requires_action", job.cents - 400)
    merchant.client.post(f"/v1/refunds/{waiting['id']}/cancel", {})
    merchant.await_event("refund.succeeded", sent["id"])

    def released() -> bool:
        return query(house, "SELECT hold FROM refunds WHERE id = %s", waiting["id"]) == [
            ("voided",)
        ]

    await_true(released, "the hold to be given back")

    def compare() -> None:
        for name in ("refund.created", "refund.succeeded"):
            merchant.compare_event(name, sent["id"])
        merchant.compare_event("refund.canceled", waiting["id"])
        got = transfers(merchant.wallet, house.token(), receiver=payer)
        assert [each["units"] for each in got] == [4_000_000]
        found = merchant.client.get(f"/v1/payment_intents/{job.intent['id']}")
        assert found["amount_refunded"] == 400

    return compare


def liability_epoch(house: House, merchant: Merchant) -> Compare:
    """The operator's command dies before its roots are journalled, then after; then it goes on."""
    for _ in range(2):
        assert house.run("ledger", "liabilities").returncode == -signal.SIGKILL
    made = house.run("ledger", "liabilities", "--json")
    assert made.returncode == 0, made.stderr
    epochs = {each["unit"]: each for each in json.loads(made.stdout)}

    def compare() -> None:
        rows = query(
            house,
            "SELECT epoch, journalled IS NOT NULL FROM liability_epochs WHERE unit = 'test/usdc'"
            " ORDER BY epoch DESC LIMIT 2",
        )
        last = epochs["test/usdc"]["epoch"]
        assert rows == [(last, True), (last - 1, True)]
        proof = house.run("ledger", "proof", merchant.account, "--currency", "usdc")
        assert proof.returncode == 0, proof.stderr
        verify_proof(
            json.loads(proof.stdout),
            epochs["test/usdc"],
            account=merchant.account,
            balance=merchant.balance_units,
        )

    return compare


def frozen_payout(house: House, merchant: Merchant) -> Compare:
    """Frozen through the API: the worker dies telling the signer; a payout waits for the end."""
    operator = house.client(house.description["operator_key"])
    frozen = operator.post("/v1/freeze", {"reason": "drill"})["id"]

    def is_told() -> bool:
        return bool(
            query(house, "SELECT 1 FROM freezes WHERE id = %s AND signer_at > created", frozen)
        )

    await_true(is_told, "the signer to be told of the freeze")
    job = merchant.begin()
    merchant.send(job)
    assert job.payout is not None
    merchant.await_event("payout.approved", job.payout["id"])
    house.kill("worker")
    house.kill("signer")
    shown = house.run("freeze", "--show", "--json")
    assert shown.returncode in (0, 3), shown.stderr
    assert query(house, "SELECT 1 FROM transactions WHERE subject = %s", job.payout["id"]) == []
    house.await_role("signer")
    lifted = house.run("unfreeze", "drill over", "--yes")
    assert lifted.returncode == 0, lifted.stdout + lifted.stderr
    merchant.await_end(job)
    return lambda: merchant.compare(job)


def rotated_key(house: House, merchant: Merchant) -> Compare:
    """A gas key is given up: the worker dies around a move, the command around the marks."""
    path = Path(house.description["data_dir"], "signer", "policy.toml")
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, gas_indexes=(GAS_KEY,)))
    assert house.run("treasury", "add").returncode == 0
    [(source,)] = query(house, "SELECT address FROM addresses WHERE role = 'gas'")
    with house.payer(1) as wallet, house.miner.at(1):
        wallet.send_native(checksum_address(source), FUEL_WEI)

        def is_funded() -> bool:
            return int(wallet.rpc.call("eth_getBalance", source, "latest"), 16) >= FUEL_WEI

        await_true(is_funded, "the gas key to be funded")
        begun = house.run("keys", "rotate", "drill", "--from", str(GAS_KEY), "--to", "0", "--json")
        assert begun.returncode == 0, begun.stderr
        identifier = json.loads(begun.stdout)["id"]
        rotate = ("keys", "rotate", "--rotation", identifier)
        assert json.loads(house.run(*rotate, "--continue", "--json").stdout)["status"] == "moving"

        def is_empty() -> bool:
            shown = house.run(*rotate, "--status", "--json")
            return shown.returncode == 0 and "retires" in json.loads(shown.stdout)["next"]

        await_true(is_empty, "the old address to be empty")
        for _ in range(2):
            assert house.run(*rotate, "--continue").returncode == -signal.SIGKILL
        done = house.run(*rotate, "--continue", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "retired"

    def compare() -> None:
        after, _ = load_policy(path)
        assert (after.gas_indexes, after.treasury_indexes) == ((), (0,))
        network = house.network(1)["network"]
        moved = query(
            house,
            "SELECT token_amount FROM transactions WHERE purpose = 'rotation' AND network = %s"
            " AND status = 'posted'",
            network,
        )
        assert len(moved) == 1

    return compare


def paid_by_402(house: House, merchant: Merchant) -> Compare:
    """Paid by HTTP 402: the payer signs, and a transaction of ours moves the coins."""
    shop = Shop(house, merchant)
    told = shop.settle(shop.message(13), "call-13")
    assert told["success"], told
    merchant.balance_units += 13

    def compare() -> None:
        shop.posted(told["transaction"])
        rows = query(
            house,
            "SELECT count(*) FROM transactions t JOIN x402_payments x ON x.transaction = t.id"
            " WHERE x.token_amount = 13",
        )
        assert rows == [(1,)]

    return compare


# The calls that die in one run of a job, both sides of each: few enough that a part is not started
# so often that the supervisor makes it wait. A call that several kinds of rows make stands with a
# job of each.
Life = tuple[Scenario, tuple[str, ...]]
LIVES: tuple[Life, ...] = (
    (new_account, ("account.open", "ledger.project", "webhook.send")),
    (whole_job, ("command.commit", "watch.record", "payin.post", "ledger.append")),
    (
        payout_alone,
        ("idempotency", "transaction.build", "transaction.sign", "transaction.broadcast"),
    ),
    (payout_alone, ("payout.hold", "signer.log", "transaction.confirm", "transaction.settle")),
    (payouts_together, ("call.build", "disperse.build")),
    (paid_by_402, ("capture.build",)),
    (collected_payment, ("collect.build",)),
    (cloned_payment, ("clone.build", "clone.recover")),
    (stuck_payout, ("transaction.replace", "transaction.resign")),
    (payment_alone, ("topup.build",)),
    (book_transfer, ("transfer.post", "transfer.claim", "gift_card.post", "gift_card_batch.post")),
    (converted_balance, ("conversion.post",)),
    (closed_position, ("order.place", "order.book")),
    (canceled_payout, ("payout.release",)),
    (frozen_payout, ("freeze.signer",)),
    (payout_batch, ("payout_batch.hold",)),
    (refunded_payment, ("refund.hold", "refund.release")),
    (reversed_payment, ("payin.reverse",)),
    (seized_payment, ("case.seize",)),
    (outflow, ("outflow.post",)),
    (adopted_surplus, ("adoption.post", "break.correct")),
    (liability_epoch, ("liability.journal",)),
    (rotated_key, ("rotation.build", "rotation.mark")),
    (told_payout, ("travel_rule.send",)),
    (agents_channel, ("channel.fund", "channel.drain", "channel.freeze", "channel.restore")),
    (
        agents_mandate,
        ("mandate.freeze", "mandate_spend.post", "mandate_spend.release", "pool.post"),
    ),
    (bank_account, ("bank.send", "bank.fetch", "bank.book", "provider.place")),
    (settled_account, ("settlement.book", "settlement.pay", "settlement.release")),
    (platforms_fee, ("application_fee.return",)),
    (given_back, ("charge_refund.post", "dispute.hold", "dispute.settle")),
    (escrow_channel, ("voucher.charge", "voucher.end", "escrow_refund.set_aside")),
)
# The same steps of the same code for another kind of transaction: `make soak` has the time.
REPEATED: tuple[Life, ...] = (
    (payouts_together, ("signer.log", "transaction.sign", "transaction.broadcast")),
    (payouts_together, ("transaction.confirm", "transaction.settle")),
    (fuelled_payment, ("signer.log", "transaction.build", "transaction.broadcast")),
    (fuelled_payment, ("transaction.sign", "transaction.confirm", "transaction.settle")),
    (collected_payment, ("transaction.build", "transaction.sign", "transaction.broadcast")),
    (collected_payment, ("signer.log", "transaction.confirm", "transaction.settle")),
    (payment_alone, ("topup.build", "transaction.sign", "transaction.settle")),
)
IS_SOAK = "SAKK_SOAK" in os.environ


# The whole way of a payment and of a payout, and the operator's commands that are begun again: in
# every run they die before and after each call. The other acts are made of the same parts, and die
# after the call alone, which is when nothing tells that it was made; in the long run before it too.
TWO_SIDED: tuple[Scenario, ...] = (whole_job, payout_alone, liability_epoch, rotated_key)


def sides(scenario: Scenario, call: str) -> list[str]:
    """Where to die around a call: after it, and before it too where there is time."""
    both = IS_SOAK or scenario in TWO_SIDED
    return [name for name in FAILPOINTS[call] if both or name.endswith(".after")]


def test_every_failpoint_has_a_scenario() -> None:
    assert set(FAILPOINTS) == {call for _, calls in LIVES for call in calls}
    assert all(len(names) == 2 for names in FAILPOINTS.values()), FAILPOINTS


@pytest.mark.parametrize(
    ("scenario", "calls"),
    [
        pytest.param(scenario, calls, id=f"{scenario.__name__}-{'-'.join(calls)}")
        for scenario, calls in (*LIVES, *(REPEATED if IS_SOAK else ()))
    ],
)
def test_a_kill_on_either_side_of_a_call_loses_and_doubles_nothing(
    house: House, merchant: Merchant, scenario: Scenario, calls: tuple[str, ...]
) -> None:
    names = [name for call in calls for name in sides(scenario, call)]
    house.arm(*names)
    compare = scenario(house, merchant)
    for name in names:
        house.await_fired(name)
    house.await_all()
    compare()
    merchant.compare_balance()
    prove_rows(house)
    report = verify(house.database_url)
    assert report.ok, report.breaks


def test_what_a_client_left_behind_is_finished_without_it(house: House, merchant: Merchant) -> None:
    """The request is committed, the API dies, and the client never asks again."""
    house.arm("payout.hold.before", "transfer.post.before")
    job = merchant.begin()
    job.beneficiary = "0x" + "78" * 20
    operator = house.client(house.description["operator_key"])
    other = operator.post("/v1/accounts", {"business_profile": {"name": "Left behind"}})["id"]
    transfer = {"amount": 2_000_000, "currency": "usdc", "destination": other}
    assert merchant.client.send_once("/v1/payouts", merchant.payout_body(job), key="gone-1") is None
    house.await_fired("payout.hold.before")
    merchant.client.get("/v1/balance")
    assert merchant.client.send_once("/v1/transfers", transfer, key="gone-2") is None
    house.await_fired("transfer.post.before")
    [(payout,)] = query(
        house, "SELECT id FROM payouts WHERE destination = %s", job.beneficiary.lower()
    )
    [(moved,)] = query(house, "SELECT id FROM transfers WHERE destination = %s", other)
    merchant.await_event("payout.posted", payout)
    merchant.await_event("transfer.created", moved)
    merchant.balance_units -= job.payout_units + 2_000_000
    merchant.compare_balance()
    # The client comes back after all, and is told what became of it.
    again = merchant.client.post("/v1/payouts", merchant.payout_body(job), key="gone-1")
    assert again["id"] == payout
    assert merchant.client.post("/v1/transfers", transfer, key="gone-2")["id"] == moved
    job.payout = again
    merchant.compare_payout(job)


def test_afterwards_ledger_and_chain_agree_to_the_unit(house: House, merchant: Merchant) -> None:
    compare_books(house)
    compare_chain(house, merchant.wallet)
