"""The main job seen from outside, and the comparison of all witnesses after it.

A job is: a payment intent, the payer's transfer, its webhook, the sweep, a payout, its webhook.
Afterwards the API, the webhooks' receiver, the chain and the ledger must tell one story.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from eth_utils.crypto import keccak

from sakk.core import ids
from sakk.rails.sandbox.wallet import Wallet, encode_call
from tests.crash.house import Client, House, await_true, await_value
from tests.receiver import Receiver

PATH = "/hook"
UNITS_PER_CENT = 10_000
PAYMENT_EVENTS = ("payment_intent.created", "payment_intent.succeeded")
PAYIN_EVENTS = ("payin.seen", "payin.confirmed", "payin.posted")
PAYOUT_EVENTS = (
    "payout.created",
    "payout.approved",
    "payout.signed",
    "payout.broadcast",
    "payout.confirmed",
    "payout.posted",
)
TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
EVENT_SECONDS_MAX = 180.0
THIEFS_GAS_WEI = 10**18

_beneficiaries = count(1)


@dataclass(slots=True)
class Job:
    """One run of the main job. ``paid`` and ``sent`` in USD cents and USDC units."""

    cents: int
    payout_units: int
    intent: dict[str, Any]
    deposit: str
    paid_hash: str | None = None
    payout: dict[str, Any] | None = None
    beneficiary: str = ""

    @property
    def paid_units(self) -> int:
        return self.cents * UNITS_PER_CENT


@dataclass(slots=True)
class Merchant:
    """A merchant with a webhook receiver, who counts what the balance has to be."""

    house: House
    client: Client
    receiver: Receiver
    wallet: Wallet
    account: str
    balance_units: int = 0
    jobs: list[Job] = field(default_factory=list)

    def begin(
        self,
        *,
        cents: int = 2_500,
        payout_units: int = 10_000_000,
        by: Client | None = None,
        **more: Any,
    ) -> Job:
        """A payment intent of a job, and where it is to be paid; ``by``: who asks for it."""
        intent = (by or self.client).post(
            "/v1/payment_intents",
            {"amount": cents, "currency": "usd", "payment_method_types": ["crypto"], **more},
        )
        network = self.house.network()["network"]
        addresses = intent["next_action"]["crypto_display_details"]["deposit_addresses"]
        job = Job(cents, payout_units, intent, addresses[network]["address"])
        self.jobs.append(job)
        return job

    def pay(self, job: Job) -> None:
        """The payer's transfer on the chain."""
        job.paid_hash = self.wallet.transfer(self.house.token(), job.deposit, job.paid_units)
        self.balance_units += job.paid_units

    def send(self, job: Job) -> None:
        """The job's payout, to an address that nobody used before."""
        job.beneficiary = "0x" + keccak(text=f"beneficiary {next(_beneficiaries)}")[-20:].hex()
        job.payout = self.client.post("/v1/payouts", self.payout_body(job))
        self.balance_units -= job.payout_units

    def send_together(self, jobs: Sequence[Job]) -> None:
        """The payouts of several jobs in one request: they are due at the same time."""
        for job in jobs:
            job.beneficiary = "0x" + keccak(text=f"beneficiary {next(_beneficiaries)}")[-20:].hex()
            self.balance_units -= job.payout_units
        lines = [self.payout_body(job) for job in jobs]
        batch = self.client.post("/v1/payout_batches", {"lines": lines})
        found = self.client.get(f"/v1/payout_batches/{batch['id']}/payouts")["data"]
        by_address = {each["destination"]["address"].lower(): each for each in found}
        for job in jobs:
            job.payout = by_address[job.beneficiary]

    def payout_body(self, job: Job, index: int = 0) -> dict[str, Any]:
        return {
            "amount": job.payout_units,
            "currency": "usdc",
            "destination": {
                "network": self.house.network(index)["network"],
                "address": job.beneficiary,
            },
        }

    def run(self) -> Job:
        """A whole job: returns when the payout is posted and the deposit swept."""
        job = self.begin()
        self.pay(job)
        self.await_event("payment_intent.succeeded", job.intent["id"])
        self.send(job)
        self.await_end(job)
        return job

    def await_end(self, job: Job) -> None:
        """Wait until everything that was begun for a job is in the books."""
        if job.paid_hash is not None:
            self.await_event("payment_intent.succeeded", job.intent["id"])
            self.await_swept(job)
        if job.payout is not None:
            self.await_event("payout.confirmed", job.payout["id"])
            self.await_event("payout.posted", job.payout["id"])

    def events(self) -> list[dict[str, Any]]:
        """Every delivery so far, repeated ones too."""
        return [found.event for found in self.receiver.at(PATH)]

    def await_event(
        self, name: str, object_id: str, seconds_max: float = EVENT_SECONDS_MAX
    ) -> None:
        """Wait until the receiver was told of something."""
        seen = [0]

        def told() -> bool:
            # Only what came since the last look; called with the receiver's lock.
            fresh, seen[0] = self.receiver.received[seen[0] :], len(self.receiver.received)
            return any(
                each.event["type"] == name and each.event["data"]["object"]["id"] == object_id
                for each in fresh
            )

        self.receiver.wait_until(told, f"{name} of {object_id}", seconds_max)

    def await_swept(self, job: Job) -> None:
        """Wait until the coins of a deposit address are in the treasury and in the books."""

        def swept() -> bool:
            return query(
                self.house, "SELECT status FROM sweeps WHERE address = %s", job.deposit.lower()
            ) == [("posted",)]

        await_true(swept, f"the sweep of {job.deposit}", EVENT_SECONDS_MAX)

    def cancel_payout(self, identifier: str) -> None:
        """Call a payout off; again while it is looked at by the stage that would build it."""

        def canceled() -> bool:
            answer = self.client.http.post(f"/v1/payouts/{identifier}/cancel", json={})
            return answer.status_code == 200

        await_true(canceled, f"{identifier} to be canceled")

    @contextmanager
    def another(self, account: str) -> Iterator["Merchant"]:
        """Another account, for which the operator's key acts, with a receiver of its own."""
        with Receiver() as receiver:
            key = self.house.description["operator_key"]
            client = self.house.client(key, account=account)
            yield open_endpoint(Merchant(self.house, client, receiver, self.wallet, account))

    # Comparison

    def compare(self, job: Job) -> None:
        """One job: the API, the receiver and the chain tell one story."""
        if job.paid_hash is not None:
            self.compare_payment(job)
            self.compare_sweep(job)
        if job.payout is not None:
            self.compare_payout(job)

    def compare_payment(self, job: Job) -> None:
        intent = self.client.get(f"/v1/payment_intents/{job.intent['id']}")
        assert (intent["status"], intent["amount_received"]) == ("succeeded", job.cents)
        found = self.client.get("/v1/payins", payment_intent=job.intent["id"])["data"]
        payins = [each for each in found if each["currency"] == "usdc"]
        assert [(each["status"], each["token_amount"]) for each in payins] == [
            ("posted", str(job.paid_units))
        ]
        [payin] = payins
        assert payin["tx_hash"] == job.paid_hash
        for name in PAYMENT_EVENTS:
            self.compare_event(name, job.intent["id"])
        for name in PAYIN_EVENTS:
            self.compare_event(name, payin["id"])

    def compare_sweep(self, job: Job) -> None:
        into = self._transfers(receiver=job.deposit)
        assert [(each["hash"], each["units"]) for each in into] == [(job.paid_hash, job.paid_units)]
        assert [each["units"] for each in self._transfers(sender=job.deposit)] == [job.paid_units]

    def compare_payout(self, job: Job) -> None:
        assert job.payout is not None
        payout = self.client.get(f"/v1/payouts/{job.payout['id']}")
        assert payout["status"] == "posted"
        for name in PAYOUT_EVENTS:
            self.compare_event(name, payout["id"])
        got = self._transfers(receiver=job.beneficiary)
        assert [(each["hash"], each["units"]) for each in got] == [
            (payout["tx_hash"], job.payout_units)
        ]

    def compare_balance(self) -> None:
        """The balance is what was paid less what was sent, and nothing is pending."""
        balance = self.client.get("/v1/balance")
        amounts = {each["currency"]: each["amount"] for each in balance["available"]}
        assert amounts.get("usdc", 0) == self.balance_units
        assert [each for each in balance["pending"] if each["amount"]] == []

    def compare_event(self, name: str, object_id: str) -> None:
        """Delivered at least once, under one id, which is the one event that the API lists."""
        self.await_event(name, object_id)
        delivered = {
            each["id"]
            for each in self.events()
            if each["type"] == name and each["data"]["object"]["id"] == object_id
        }
        stored = query(
            self.house, "SELECT id FROM events WHERE type = %s AND object_id = %s", name, object_id
        )
        assert [row[0] for row in stored] == list(delivered), (name, object_id)

    def _transfers(self, **ends: str) -> list[dict[str, Any]]:
        return transfers(self.wallet, self.house.token(), **ends)


@contextmanager
def open_merchant(house: House) -> Iterator[Merchant]:
    """The sandbox's own merchant."""
    account = str(house.description["account"])
    client = house.client(house.description["secret_key"])
    with Receiver() as receiver, house.payer() as wallet:
        yield open_endpoint(Merchant(house, client, receiver, wallet, account))


def open_endpoint(merchant: Merchant) -> Merchant:
    """Have the merchant told of everything."""
    merchant.client.post(
        "/v1/webhook_endpoints",
        {"url": f"{merchant.receiver.url}{PATH}", "enabled_events": ["*"]},
    )
    return merchant


def steal(wallet: Wallet, token: str, holder: str, units: int) -> str:
    """Move coins with a key that we should have alone; the thief brings and takes their gas."""
    call = wallet.rpc.call
    call("anvil_setBalance", holder, hex(THIEFS_GAS_WEI))
    call("anvil_impersonateAccount", holder)
    data = encode_call("transfer(address,uint256)", wallet.address, units)
    stolen = call("eth_sendTransaction", {"from": holder, "to": token, "data": "0x" + data.hex()})
    call("anvil_stopImpersonatingAccount", holder)
    wallet.wait(stolen)
    call("anvil_setBalance", holder, "0x0")
    return str(stolen)


def transfers(
    wallet: Wallet, token: str, *, sender: str | None = None, receiver: str | None = None
) -> list[dict[str, Any]]:
    """The token's Transfer logs on the chain, by sender or receiver."""
    topics = [
        TRANSFER_TOPIC,
        *(
            None if end is None else "0x" + end[2:].lower().rjust(64, "0")
            for end in (sender, receiver)
        ),
    ]
    logs = wallet.rpc.call(
        "eth_getLogs",
        {"address": token, "topics": topics, "fromBlock": "0x0", "toBlock": "latest"},
    )
    return [{"hash": each["transactionHash"], "units": int(each["data"], 16)} for each in logs]


def compare_books(house: House) -> None:
    """Nothing was booked twice; the ledger proves itself, and custody proves to be on the chain."""
    for arguments in (("reconcile",), ("ledger", "verify")):
        done = house.run(*arguments)
        assert done.returncode == 0, f"sakk {' '.join(arguments)}: {done.stdout}{done.stderr}"
    prove_rows(house)


def prove_rows(house: House) -> None:
    """No movement of a row stands in the ledger twice, and no pay-in is left half-way.

    A line of charges tells of many, each under an id of its own, which the ledger takes once.
    """
    repeated = query(
        house,
        "SELECT user_data, code, debit_account_id, credit_account_id, count(*)"
        " FROM ledger_transfers WHERE charges IS NULL"
        " GROUP BY user_data, code, debit_account_id, credit_account_id, pending_id"
        " HAVING count(*) > 1",
    )
    carried = {
        UUID(int=ids.decode(row)[1]): count
        for row, count in query(
            house,
            "SELECT transaction, count(*) FROM (SELECT transaction FROM payouts"
            " UNION ALL SELECT transaction FROM sweeps) AS carried"
            " WHERE transaction IS NOT NULL GROUP BY transaction",
        )
    }
    # What one transaction did for several payouts or deposits is a leg for each of them.
    # A channel has many charges, each under an id that its voucher makes.
    channels = {
        UUID(int=ids.decode(row)[1]) for (row,) in query(house, "SELECT id FROM escrow_channels")
    }
    rows = [row for row in repeated if row[0] not in channels]
    assert [row for row in rows if row[-1] > carried.get(row[0], 1)] == []
    assert half_way(house) == []


def half_way(house: House) -> list[tuple[Any, ...]]:
    """The pay-ins that are not at their end."""
    return query(
        house,
        "SELECT id FROM payins WHERE status NOT IN ('posted', 'released', 'reversed', 'seized')",
    )


def compare_chain(house: House, wallet: Wallet, index: int = 0) -> None:
    """Every transaction that a key of ours sent is one row, and no nonce was used in vain."""
    rows = query(
        house,
        "SELECT sender, nonce, hash, status FROM transactions WHERE network = %s",
        house.network(index)["network"],
    )
    assert {row[3] for row in rows} <= {"posted", "refused"}
    sent = Counter(row[0] for row in rows if row[3] == "posted")
    for sender, number in sent.items():
        assert int(wallet.rpc.call("eth_getTransactionCount", sender, "latest"), 16) == number


def query(house: House, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the database; again while it is starting."""
    return await_value(lambda: house.rows(statement, values), "the database to answer")
