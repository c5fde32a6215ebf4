"""The door for providers: what a notice does, and what a stranger learns."""

import secrets
from dataclasses import replace
from datetime import timedelta

import msgspec
from sqlalchemy import func, select

from sakk.api.dependencies import Dependencies
from sakk.api.limit import NOTICES_PER_MINUTE_MAX, Limits
from sakk.api.pipeline import Request
from sakk.api.provider_notice import ProviderDoor
from sakk.core.bank_account import Adapter, BankAccount, BankTerms, Profile
from sakk.core.provider_notice import BODY_BYTES_MAX, PATH, WINDOW_MAX
from sakk.core.provider_order import ProviderOrder
from sakk.core.webhook import sign
from sakk.flow.context import Parts
from sakk.flow.forget import forget_stage
from sakk.rails.bank.provider_notice import sandbox_secret
from sakk.rails.bank.sandbox_notice import SandboxNotices
from sakk.store import bank_account as bank_accounts
from sakk.store import provider_order as orders
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.provider_notice import provider_notices
from tests.api.world import Api, http
from tests.flow.policing import VAULT


class House:
    """Two of the operator's accounts at the sandbox's provider, each with an order."""

    def __init__(self, database: Database) -> None:
        self.now = now()
        self.parts = Parts(database, vault=VAULT, clock=lambda: self.now)
        self.accounts = [self._account(), self._account()]
        self.orders = [self._order(each) for each in self.accounts]
        self.door = ProviderDoor(
            Dependencies(self.parts),
            Limits(requests_per_second=None, failures_per_minute=None, processes=1),
            clock=lambda: self.now,
        )

    def _account(self) -> str:
        made = BankAccount(
            id=new_id("ba"),
            account_id=None,
            livemode=False,
            role="own",
            holder="Sakk",
            country="US",
            currency="eur",
            decimals=2,
            number=new_id("ba"),
            bank_code="026009593",
            usable_at=self.now,
            terms=BankTerms(
                secrets.token_hex(10),
                adapter=Adapter.provider,
                provider="sandbox",
                profile=Profile.generic,
            ).document(),
            metadata={},
            created=self.now,
        )
        with self.parts.database.begin() as connection:
            bank_accounts.insert(connection, made)
        return made.id

    def _order(self, account: str) -> str:
        made = ProviderOrder(
            id=new_id("pvo"),
            account_id=new_id("acct"),
            livemode=False,
            payout=new_id("po"),
            payment=new_id("bp"),
            bank_account=account,
            provider="sandbox",
            units=1,
            fee_units=0,
            currency="eur",
            decimals=2,
            status="placed",
            reference="SBX-1",
            retry_at=self.now + timedelta(minutes=5),
            created=self.now,
        )
        with self.parts.database.begin() as connection:
            orders.insert_many(connection, [made])
        return made.id

    def row(self, place: int) -> ProviderOrder:
        with self.parts.database.begin() as connection:
            found = orders.find(connection, self.orders[place], livemode=False)
        assert found is not None
        return found

    def tell(
        self,
        account: str,
        told: object,
        *,
        secret: str | None = None,
        identifier: str | None = None,
        at: timedelta = timedelta(0),
        method: str = "POST",
    ) -> int:
        """Send a notice; its answer has a status, and nothing else."""
        body = msgspec.json.encode(told)
        answer = self.door.answer(
            Request(
                request_id="req_1",
                method=method,
                path=PATH,
                path_parameters={"bank_account": account},
                query=b"",
                headers=sign(
                    body,
                    event_id=identifier or new_id("evt"),
                    timestamp=int((self.now + at).timestamp()),
                    secrets=[secret or sandbox_secret(VAULT, account)],
                ),
                body=body,
                peer="203.0.113.7",
            )
        )
        assert answer.body == b""
        return answer.status

    @property
    def remembered(self) -> int:
        with self.parts.database.begin() as connection:
            counted = connection.execute(select(func.count()).select_from(provider_notices))
            return int(counted.scalar_one())


def test_a_notice_has_the_provider_asked_and_is_believed_in_nothing(database: Database) -> None:
    house = House(database)
    mine, theirs = house.accounts
    told = {"reference": "SBX-1", "status": "paid"}
    assert house.tell(mine, told, identifier="evt_1") == 204
    # It is due now; it stands where it stood, whatever the notice says.
    assert (house.row(0).retry_at, house.row(0).hints, house.row(0).status) == (None, 1, "placed")
    # The other account's order of the same name is not its business.
    assert house.row(1).hints == 0
    # Told twice it counts once; of its own key, of an account, or of nothing that there is.
    assert house.tell(mine, told, identifier="evt_1") == 204
    assert house.row(0).hints == 1
    assert house.tell(theirs, told, identifier="evt_1") == 204
    assert (house.row(0).hints, house.row(1).hints) == (1, 1)
    for about, hints in (
        ({"key": house.row(0).payout}, 2),
        ({}, 3),
        ({"key": house.row(1).payout}, 3),
        ({"reference": "SBX-2"}, 3),
    ):
        assert house.tell(mine, about) == 204
        assert house.row(0).hints == hints
    assert house.row(1).hints == 1
    # Nobody sends one of so long ago any more: it is forgotten, and would be refused.
    assert house.remembered == 6
    house.now += WINDOW_MAX + timedelta(hours=1)
    forget_stage(house.parts).run()
    assert house.remembered == 0


def test_a_stranger_learns_nothing(database: Database) -> None:
    house = House(database)
    mine, theirs = house.accounts
    told = {"reference": "SBX-1"}
    for account, changes in (
        (mine, {"secret": sandbox_secret(VAULT, theirs)}),
        (mine, {"at": timedelta(minutes=-6)}),
        (mine, {"at": timedelta(minutes=6)}),
        (mine, {"method": "GET"}),
        (new_id("ba"), {}),
        ("../../v1", {}),
    ):
        assert house.tell(account, told, **changes) == 404
    assert house.tell(mine, [1]) == 404
    assert (house.row(0).hints, house.remembered) == (0, 0)
    # Without the vault's key nothing can be told apart, and nothing is taken.
    house.door = ProviderDoor(
        Dependencies(replace(house.parts, vault=None)),
        Limits(requests_per_second=None, failures_per_minute=None, processes=600),
    )
    assert house.tell(mine, told) == 404
    # So many from one address, and no more.
    said = {house.tell(mine, told) for _ in range(NOTICES_PER_MINUTE_MAX // 600)}
    assert said == {404, 429}


def test_the_sandboxs_provider_is_heard_over_http(api: Api) -> None:
    """By its own signature, over the bytes as they come; a body without end is not read."""
    url = api.url + PATH.format(bank_account=new_id("ba"))
    assert http().post(url, content=b"{}").status_code == 404
    assert http().get(url).status_code == 404
    assert http().post(url, content=bytes(BODY_BYTES_MAX + 1)).status_code == 413
    house = House(api.database)
    notices = SandboxNotices(api.url, VAULT)
    notices.tell(house.accounts[0], {"reference": "SBX-1"})
    notices.flush()
    assert (house.row(0).hints, house.row(0).retry_at) == (1, None)
    # Nobody else's lists have them.
    table, accounts = orders.provider_orders, bank_accounts.bank_accounts
    with api.database.begin() as connection:
        connection.execute(table.delete().where(table.c.id.in_(house.orders)))
        connection.execute(accounts.delete().where(accounts.c.id.in_(house.accounts)))
