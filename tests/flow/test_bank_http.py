"""A bank with an interface of its own, from a settlement to the books that agree."""

from typing import Any

from sqlalchemy import select
from tests.flow.banking import (
    OPENING,
    PAYEE,
    at_bank,
    found_at_banks,
    given_secret,
    lines,
    look,
    own_account,
    payee,
    payments,
    reference,
    statements,
)
from tests.flow.harness import World
from tests.flow.test_settlement import settled_by, settlements
from tests.rails.test_bank_http import TOKEN, Bank

from sakk.core.bank_account import Adapter, BankAccount
from sakk.core.settlement import Interval
from sakk.flow import settlement
from sakk.ledger.projection import wait_projected
from sakk.rails.bank.adapters import sandbox_bank
from sakk.store.bank_file import bank_files
from sakk.store.identity import new_id


class Behind:
    """What works behind the interface: the sandbox's bank, in a folder that nobody else sees."""

    def __init__(self, world: World, server: Bank, own: BankAccount) -> None:
        self.root = world.directory / "behind"
        self.folder = self.root / "http"
        self.bank = sandbox_bank(self.root, own)
        self.server = server

    def works(self) -> list[str]:
        """Carry out what was posted, and leave what is to be told, one by one."""
        (self.folder / "out").mkdir(parents=True, exist_ok=True)
        for name, content in self.server.orders.items():
            if not (self.folder / "carried-out" / name).exists():
                (self.folder / "out" / name).write_bytes(content)
        left = self.bank.list()
        for name in left:
            content = self.bank.take(name, bytes_max=1 << 20)
            self.server.leave(name, content)
            # It tells each of its files twice, under another name.
            self.server.leave(f"again-{name}", content)
            self.bank.done(name)
        return left


def test_a_settlement_goes_by_http_and_the_books_agree(world: World) -> None:
    server = Bank()
    try:
        terms: dict[str, Any] = {"adapter": Adapter.http, "folder": "http"}
        address = f"http://127.0.0.1:{server.server_port}/bank"
        own = own_account(world, address=address, **terms)
        given_secret(world, own, TOKEN)
        behind = Behind(world, server, own)
        told = reference(world)
        behind.bank.pay_in(units=8_000, name="Payer", iban=PAYEE, remittance=told)
        assert behind.works() == ["camt053-000001.xml"]
        # Half of it is no file: it is asked for again.
        server.halves = 1
        look(world)
        look(world)
        assert (world.balance("eur"), len(statements(world))) == (8_000, 1)
        place = payee(world, "Shop")
        settled_by(world, interval=Interval.manual, destination={"bank_account": place.id})
        wait_projected(world.database.url)
        made = settlement.create(
            world.parts,
            identifier=new_id("set"),
            account_id=world.account,
            livemode=False,
            currency="eur",
        )
        # The answer to the order is lost: it is posted again, and is one file there.
        server.forgets = 1
        world.run()
        for _ in range(3):
            look(world)
        assert (len(server.orders), server.posts) == (1, 2)
        [order] = payments(world)
        assert order.status == "sent"
        assert behind.works() == ["pain002-" + next(iter(server.orders)), "camt053-000002.xml"]
        server.halves = 1
        for _ in range(3):
            look(world)
        [order] = payments(world)
        [row] = settlements(world)
        assert (order.status, row.id, row.status) == ("booked", made.id, "paid")
        assert [each.units for each in lines(world)] == [8_000, -8_000]
        assert (world.balance("eur"), at_bank(world, own)) == (0, OPENING)
        with world.database.read() as connection:
            came = connection.execute(
                select(bank_files.c.status).where(bank_files.c.way == "in")
            ).scalars()
            assert list(came) == ["read"] * 3
        assert found_at_banks(world) == []
        world.check()
    finally:
        server.end()
