"""Mandates: only an owner signs one, every limit holds to the unit, and a word ends it at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_account import Account
from tests.flow.mandating import AGENT, OWNER, WHOLE, House, open_house, sign

from sakk.core import mandate as rules
from sakk.core.channel import Channel
from sakk.core.errors import (
    BalanceInsufficient,
    MandateExceeded,
    MandateRefused,
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.mandate import CategoryRule, Mandate, PayeeRule, Period
from sakk.core.pool import Direction
from sakk.core.refill import Refill
from sakk.core.spend import Payee
from sakk.flow import channel, mandate, mandate_life, mandate_spend, owner_key, pool, refill
from sakk.flow.book import PostingSet
from sakk.flow.channel import ChannelRequest, Countersigned
from sakk.flow.pool import PoolRequest
from sakk.store import channel as channels
from sakk.store.database import Database
from sakk.store.identity import new_id

STRANGER = Account.from_key("0x" + "48" * 32)
ELSEWHERE = Payee(network="eip155:8453", address="0x" + "11" * 20, host="api.example.com")


@pytest.fixture(scope="module")
def estate(module_database: Database) -> Iterator[House]:
    with open_house(module_database) as opened:
        yield opened
        opened.check()


@pytest.fixture
def house(estate: House) -> House:
    return House(estate.parts, estate.clock)


def limit_of(error: MandateRefused) -> str:
    assert error.details is not None
    return str(error.details["limit"])


def test_an_owner_signs_and_an_agent_spends(house: House) -> None:
    made = house.mandate(total=5 * WHOLE)
    assert house.told(made.id) == ["mandate.created"]
    spent = house.spend(made, 2 * WHOLE)
    assert spent.status == "posted"
    assert (house.balance(), house.balance(house.seller)) == (98 * WHOLE, 2 * WHOLE)
    assert house.budgets(made) == {"total": 3 * WHOLE}
    assert house.told(spent.id) == ["mandate_spend.created"]


def test_what_was_signed_once_is_one_mandate(house: House) -> None:
    terms = rules.check_terms(house.terms())
    signature = sign(OWNER, rules.typed_data(terms))
    first, second = (
        mandate_life.create(house.parts, terms, signature, identifier=new_id("mnd"))
        for _ in range(2)
    )
    assert first.id == second.id
    assert house.told(first.id) == ["mandate.created"]


@pytest.mark.parametrize(
    ("signer", "values", "param"),
    [
        (STRANGER, {}, "signature"),
        (STRANGER, {"owner": STRANGER.address.lower()}, "owner"),
        (OWNER, {"starts_at": 1, "expires_at": 2}, "expires_at"),
        (OWNER, {"payees": (PayeeRule(account="acct_" + "0" * 26),)}, "payees[0][account]"),
        (OWNER, {"replaces": "mnd_" + "0" * 26}, "mandate"),
    ],
)
def test_nobody_else_signs_one(
    house: House, signer: Any, values: dict[str, Any], param: str
) -> None:
    with pytest.raises((ParameterInvalid, ResourceMissing)) as caught:
        house.mandate(signer=signer, **values)
    assert caught.value.param == param


def test_terms_that_were_changed_after_signing_are_nobodys(house: House) -> None:
    terms = rules.check_terms(house.terms(total=WHOLE))
    signature = sign(OWNER, rules.typed_data(terms))
    more = rules.check_terms(house.terms(total=2 * WHOLE, salt=terms.salt))
    for given, what in ((signature, "the signature"), ("0x12", "no signature")):
        with pytest.raises(ParameterInvalid, match=what):
            mandate_life.create(house.parts, more, given, identifier=new_id("mnd"))


@pytest.mark.parametrize(
    ("values", "amounts", "limit", "left"),
    [
        ({"total": 10}, [4, 6, 1], "total", 0),
        ({"total": 10}, [11], "total", 10),
        ({"periods": (Period(60, 5),)}, [5, 1], "period", 0),
        ({"periods": (Period(60, None, 2),)}, [1, 1, 1], "period_count", 0),
        ({"periods": (Period(60, 9), Period(3_600, 5))}, [5, 1], "period", 0),
        ({"count": 1}, [1, 1], "count", 0),
        ({"payee_max": 3}, [2, 2], "payee_limit", 1),
    ],
)
def test_over_by_one_unit_is_refused(
    house: House, values: dict[str, Any], amounts: list[int], limit: str, left: int
) -> None:
    made = house.mandate(**values)
    *fitting, over = amounts
    for amount in fitting:
        assert house.spend(made, amount).status == "posted"
    before = house.budgets(made)
    reference = "over"
    for _ in range(2):  # and stays so, under its reference
        with pytest.raises(MandateExceeded) as caught:
            house.spend(made, over, reference=reference)
        assert limit_of(caught.value) == limit
        assert caught.value.details is not None
        assert caught.value.details["left"] == left
    assert house.budgets(made) == before
    assert house.balance(house.seller) == sum(fitting)


def test_limits_of_payees_and_categories(house: House) -> None:
    other = house.open_account()
    made = house.mandate(
        payees=(
            PayeeRule(account=house.seller, category="search", limit=5),
            PayeeRule(account=other, category="search"),
        ),
        categories=(CategoryRule("search", 8),),
    )
    house.spend(made, 5)
    with pytest.raises(MandateExceeded) as caught:
        house.spend(made, 1)
    assert limit_of(caught.value) == "payee_limit"
    house.spend(made, 3, payee=Payee(account=other))
    with pytest.raises(MandateExceeded) as caught:
        house.spend(made, 1, payee=Payee(account=other))
    assert limit_of(caught.value) == "category_limit"
    with pytest.raises(MandateRefused) as refused:
        house.spend(made, 1, payee=Payee(account=house.open_account()))
    assert limit_of(refused.value) == "payee"
    assert house.budgets(made)["category:search"] == 0


def test_a_new_period_has_its_own_budget(house: House) -> None:
    begins = int(house.clock().timestamp())
    made = house.mandate(periods=(Period(60, 5),))
    house.spend(made, 5)
    house.clock.pass_by(59)
    with pytest.raises(MandateExceeded) as caught:
        house.spend(made, 1)
    assert caught.value.details is not None
    assert caught.value.details["resets_at"] == begins + 60
    house.clock.pass_by(1)
    house.spend(made, 5)
    assert house.budgets(made) == {"total": 5 * WHOLE - 10, "period:60:1": 0}


def test_a_mandate_is_over_at_its_end(house: House) -> None:
    made = house.mandate()
    house.clock.pass_by(86_400)
    with pytest.raises(MandateRefused) as caught:
        house.spend(made, 1)
    assert limit_of(caught.value) == "expired"


def test_the_balance_bounds_too(house: House) -> None:
    made = house.mandate(total=1_000 * WHOLE)
    with pytest.raises(BalanceInsufficient):
        house.spend(made, 100 * WHOLE + 1)
    # What moved nothing took nothing from the budgets.
    assert house.budgets(made) == {"total": 1_000 * WHOLE}


def test_one_reference_spends_once(house: House) -> None:
    made = house.mandate()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: house.spend(made, WHOLE, reference="x"), range(16)))
    assert len({each.id for each in found}) == 1
    assert house.balance(house.seller) == WHOLE
    assert house.told(found[0].id) == ["mandate_spend.created"]
    with pytest.raises(ParameterInvalid) as caught:
        house.spend(made, 2 * WHOLE, reference="x")
    assert caught.value.param == "reference"


@pytest.mark.parametrize(
    ("payee", "param"),
    [
        (Payee(), "payee"),
        (Payee(host="a.com"), "payee"),
        (Payee(address="0x" + "11" * 20), "payee"),
        (Payee(account="acct_" + "0" * 26), "payee[account]"),
    ],
)
def test_who_can_not_be_paid(house: House, payee: Payee, param: str) -> None:
    made = house.mandate()
    with pytest.raises((ParameterInvalid, ResourceMissing)) as caught:
        house.spend(made, 1, payee=payee)
    assert caught.value.param == param


def test_nobody_pays_oneself(house: House) -> None:
    with pytest.raises(ParameterInvalid):
        house.spend(house.mandate(), 1, payee=Payee(account=house.account))


def test_another_accounts_mandate_is_none(house: House) -> None:
    made = house.mandate()
    house.account = house.open_account()
    for act in (lambda: house.spend(made, 1), lambda: house.revoke(made)):
        with pytest.raises(ResourceMissing):
            act()


def test_what_is_paid_elsewhere_is_reserved_and_given_back(house: House) -> None:
    made = house.mandate(total=10, periods=(Period(60, 8, 2),))
    spent = house.spend(made, 6, payee=ELSEWHERE, scheme="exact")
    assert (spent.status, house.balance()) == ("reserved", 100 * WHOLE)
    house.clock.pass_by(60)
    house.spend(made, 4, payee=ELSEWHERE)
    for _ in range(2):
        done = mandate_spend.release(
            house.parts, made.id, spent.id, account_id=house.account, livemode=False
        )
        assert done.status == "released"
    # To the period from which it was taken, which is over: this one's has what it had.
    assert house.budgets(made) == {"total": 6, "period:60:1": 4, "period:60:1:count": 1}
    assert house.told(spent.id) == ["mandate_spend.created", "mandate_spend.released"]
    moved = house.spend(made, 1)
    with pytest.raises(UnexpectedState):
        mandate_spend.release(
            house.parts, made.id, moved.id, account_id=house.account, livemode=False
        )


def test_what_is_given_back_can_be_spent_again(house: House) -> None:
    made = house.mandate(total=10)
    spent = house.spend(made, 10, payee=ELSEWHERE)
    mandate_spend.release(house.parts, made.id, spent.id, account_id=house.account, livemode=False)
    assert house.spend(made, 10).status == "posted"


def test_a_word_ends_it_at_once(house: House) -> None:
    made = house.mandate(total=10, periods=(Period(60, 5),))
    reserved = house.spend(made, 2, payee=ELSEWHERE)
    for _ in range(2):
        assert house.revoke(made).status == "revoked"
    assert house.told(made.id) == ["mandate.created", "mandate.revoked"]
    house.clock.pass_by(60)  # a period that nobody named before
    with pytest.raises(MandateRefused) as caught:
        house.spend(made, 1)
    assert limit_of(caught.value) == "revoked"
    # Nothing of it is spent again, so nothing is restored.
    done = mandate_spend.release(
        house.parts, made.id, reserved.id, account_id=house.account, livemode=False
    )
    assert (done.status, house.budgets(made)["total"]) == ("released", 8)


def test_the_ledger_itself_refuses_what_comes_after(house: House) -> None:
    """A process that read the row before the revocation is stopped by the ledger."""
    made = house.mandate()
    legs = mandate.bind(made, house.spend(made, 1).asked, at=house.clock())
    house.revoke(made)
    outcome = house.parts.books.post([*legs.opening, legs_set(legs)])[-1]
    error = mandate.explain(house.parts, legs, outcome)
    assert isinstance(error, MandateRefused)
    assert limit_of(error) == "revoked"


def legs_set(legs: mandate.MandateLegs) -> Any:
    return PostingSet(new_id("spn"), "spend", 0, legs.postings)


def test_a_mandate_takes_the_place_of_another(house: House) -> None:
    first = house.mandate()
    second = house.mandate(replaces=first.id, total=WHOLE)
    with house.parts.database.begin() as connection:
        old = mandate.find(connection, first.id, account_id=house.account, livemode=False)
    assert (old.status, old.replaced_by, old.revoked_by) == ("revoked", second.id, "replaced")
    with pytest.raises(MandateRefused):
        house.spend(first, 1)
    assert house.spend(second, 1).status == "posted"
    with pytest.raises(ParameterInvalid) as caught:
        house.mandate(replaces=first.id)
    assert caught.value.param == "replaces"


def test_a_mandate_replaces_none_in_another_currency(house: House) -> None:
    first = house.mandate()
    with pytest.raises(ParameterInvalid) as caught:
        house.mandate(replaces=first.id, currency="usdt")
    assert caught.value.param == "replaces"


def test_who_loses_a_key_ends_all_that_it_signed(house: House) -> None:
    made = [house.mandate(), house.mandate()]
    for _ in range(2):
        ended = owner_key.revoke(
            house.parts, house.key.id, by="key_1", account_id=house.account, livemode=False
        )
        assert ended.revoked_at is not None
    for each in made:
        with pytest.raises(MandateRefused):
            house.spend(each, 1)
    with pytest.raises(ParameterInvalid):
        house.mandate()
    assert house.told(house.key.id) == ["owner_key.created", "owner_key.revoked"]
    house.register()  # the same key again, by who holds it
    assert house.spend(house.mandate(), 1).status == "posted"
    with pytest.raises(ParameterInvalid):
        house.register()


def test_stages_finish_what_a_request_left_behind(house: House, monkeypatch: Any) -> None:
    made, ended = house.mandate(), house.mandate()
    reserved = house.spend(made, 2, payee=ELSEWHERE)

    def die(*_: Any, **__: Any) -> Any:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(type(house.parts.books), "post", die)
        patched.setattr(type(house.parts.books), "freeze", die)
        for act in (
            lambda: house.spend(made, 1, reference="left"),
            lambda: house.revoke(ended),
            lambda: mandate_spend.release(
                house.parts, made.id, reserved.id, account_id=house.account, livemode=False
            ),
        ):
            with pytest.raises(RuntimeError, match="killed"):
                act()
    # Whatever the ledger has not heard of yet is refused by the row.
    with pytest.raises(MandateRefused):
        house.spend(ended, 1)
    house.clock.pass_by(6)
    assert mandate_spend.left_behind_stage(house.parts).run() == 2
    assert mandate_life.revoke_stage(house.parts).run() == 1
    assert mandate_life.revoke_stage(house.parts).run() == 0
    assert house.spend(made, 1, reference="left").status == "posted"
    assert house.budgets(made)["total"] == 5 * WHOLE - 1
    assert house.balance(house.seller) == 1
    assert house.told(ended.id)[-1] == "mandate.revoked"
    assert house.told(reserved.id)[-1] == "mandate_spend.released"


def move(house: House, direction: str, amount: int, under: Mandate | None = None) -> str:
    moved = pool.move(
        house.parts,
        PoolRequest(Direction(direction), amount, "usdc", None if under is None else new_id("x")),
        identifier=new_id("prk"),
        account_id=house.account,
        livemode=False,
        under=under,
    )
    return moved.status


def test_idle_balance_is_parked_and_taken_back(house: House) -> None:
    made = house.mandate(may_park=True, total=1)
    assert move(house, "park", 60 * WHOLE, made) == "posted"
    assert house.balance() == 40 * WHOLE
    shown = pool.read(house.parts, account_id=house.account, livemode=False)
    assert shown["parked"] == [
        {"amount": 60 * WHOLE, "amount_decimal": "60.000000", "currency": "usdc"}
    ]
    with pytest.raises(BalanceInsufficient):
        move(house, "park", 41 * WHOLE)
    with pytest.raises(BalanceInsufficient):
        move(house, "unpark", 61 * WHOLE, made)
    assert move(house, "unpark", 60 * WHOLE, made) == "posted"
    assert house.balance() == 100 * WHOLE


def test_only_an_agent_that_may_parks(house: House) -> None:
    with pytest.raises(MandateRefused) as caught:
        move(house, "park", 1, house.mandate())
    assert limit_of(caught.value) == "park"
    made = house.mandate(may_park=True)
    house.clock.pass_by(86_400)
    with pytest.raises(MandateRefused) as caught:
        move(house, "park", 1, made)
    assert limit_of(caught.value) == "expired"


def test_an_agents_address_is_in_no_way_the_owners(house: House) -> None:
    with pytest.raises(ParameterInvalid):
        house.mandate(signer=AGENT)


def open_channel(house: House, made: Mandate, ceiling: int) -> Channel:
    return channel.open_channel(
        house.parts,
        ChannelRequest(
            payee=house.seller,
            currency="usdc",
            ceiling=ceiling,
            mandate=made.id,
            signer=made.agent,
            expires_in=3_600,
        ),
        identifier=new_id("ch"),
        payer=house.account,
        livemode=False,
    )


def test_channels_of_a_revoked_mandate_give_back_what_is_free(house: House) -> None:
    made = house.mandate(total=10)
    opened = open_channel(house, made, 6)
    with pytest.raises(MandateExceeded):
        channel.raise_ceiling(house.parts, opened.id, Countersigned(ceiling=11))
    assert house.balance() == 100 * WHOLE - 6
    house.revoke(made)
    assert house.balance() == 100 * WHOLE
    with pytest.raises((UnexpectedState, MandateRefused)):
        channel.raise_ceiling(house.parts, opened.id, Countersigned(ceiling=7))


def signed_ahead(house: House, made: Mandate, *, funded: int, ceiling: int) -> Channel:
    """A channel whose agent has signed for more than is put in."""
    opened = open_channel(house, made, funded)
    with house.parts.database.begin() as connection:
        channels.change(connection, opened.id, {"ceiling": ceiling})
    return opened


def keep(house: House, of: Channel, *, below: int, up_to: int) -> Refill:
    with house.parts.database.begin() as connection:
        return refill.create(
            connection,
            of.id,
            below=below,
            up_to=up_to,
            identifier=new_id("rfl"),
            account_id=house.account,
            livemode=False,
            now=house.clock(),
        )


def rule_now(house: House, rule: Refill) -> Refill:
    with house.parts.database.begin() as connection:
        return refill.find(connection, rule.id, account_id=house.account, livemode=False)


def test_a_rule_funds_what_is_signed_and_no_more(house: House) -> None:
    made = house.mandate(total=20)
    opened = signed_ahead(house, made, funded=2, ceiling=9)
    rule = keep(house, opened, below=3, up_to=5)
    stage = refill.refill_stage(house.parts)
    assert (stage.run(), stage.run()) == (1, 0)
    assert channel.available(house.parts, [opened]) == [5]
    assert house.budgets(made)["total"] == 15
    with pytest.raises(UnexpectedState):
        keep(house, opened, below=1, up_to=1)
    house.revoke(made)
    assert stage.run() == 1
    assert rule_now(house, rule).status == "ended"


def test_a_rule_without_a_mandate_that_has_more_is_exhausted(house: House) -> None:
    made = house.mandate(total=4)
    opened = signed_ahead(house, made, funded=2, ceiling=9)
    rule = keep(house, opened, below=3, up_to=9)
    stage = refill.refill_stage(house.parts)
    for _ in range(refill.FAILURES_MAX):
        assert stage.run() == 1
        assert stage.run() == 0
        house.clock.pass_by(301)
    after = rule_now(house, rule)
    assert (after.status, after.failure_code) == ("exhausted", "mandate_exceeded")
    assert house.told(rule.id) == ["refill.exhausted"]
    assert channel.available(house.parts, [opened]) == [2]
    with house.parts.database.begin() as connection:
        refill.end(connection, rule.id, account_id=house.account, livemode=False)
    assert rule_now(house, rule).status == "ended"


def test_only_a_channel_under_a_mandate_of_ones_own_is_refilled(house: House) -> None:
    made = house.mandate()
    opened = open_channel(house, made, 5)
    stranger = House(house.parts, house.clock)
    with pytest.raises(ResourceMissing):
        keep(stranger, opened, below=1, up_to=1)
    with house.parts.database.begin() as connection:
        channels.change(connection, opened.id, {"mandate": None})
    with pytest.raises(ParameterInvalid):
        keep(house, opened, below=1, up_to=1)
    with house.parts.database.begin() as connection:
        channels.change(connection, opened.id, {"mandate": made.id})
    channel.close(house.parts, opened.id)
    with pytest.raises(UnexpectedState):
        keep(house, opened, below=1, up_to=1)
