"""A check says what screening would, is recorded, and changes nothing."""

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit
from tests.screening.conftest import enact

from sakk.core.errors import ParameterInvalid, ParameterMissing, Unavailable
from sakk.core.rule import Limit, Structuring
from sakk.core.screening import CHECK, Screening, Verdict
from sakk.flow import issuer
from sakk.flow.check import Check, check
from sakk.rails.evm.rpc import RpcUnavailable
from sakk.screening.engine import Engine
from sakk.store.screening import find_screening, latest_screening


def asking(world: World, **asked: object) -> list[Screening]:
    given = {"address": BENEFICIARY, "networks": [world.chain.network], **asked}
    return check(world.parts, Check(**given), livemode=False)  # type: ignore[arg-type]


def test_a_wallet_is_looked_at_in_every_token_and_both_ways(world: World) -> None:
    before = world.event_types(operator=True)
    found = asking(world)
    assert {(each.verdict, each.subject) for each in found} == {("clear", CHECK)}
    assert {each.direction for each in found} == {"incoming", "outgoing"}
    world.import_list(BENEFICIARY)
    found = asking(world)
    assert {each.verdict for each in found} == {"block"}
    with world.database.begin() as connection:
        for each in found:
            assert find_screening(connection, each.id) == each
        last = latest_screening(connection, CHECK)
    assert last is not None
    assert Engine(world.database).replay(last) == (Verdict.block, last.reasons)
    assert world.event_types(operator=True) == before


def test_a_withdrawal_attempt_counts_itself(world: World) -> None:
    credit(world, 100)
    enact(
        world.database,
        Structuring(
            name="just below ten",
            verdict=Verdict.review,
            below=Limit(whole="10"),
            width_ppm=100_000,
            count_min=2,
            seconds=3_600,
            per="account",
        ),
    )
    usdc = world.asset("usdc")
    attempt = {"asset": usdc, "amount": 9_500_000, "account_id": world.account}
    assert [each.verdict for each in asking(world, **attempt)] == ["clear"]
    world.payout(9 * WHOLE_TOKEN, address=BENEFICIARY)
    (found,) = asking(world, **attempt)
    assert (found.verdict, found.account_id) == ("review", world.account)
    assert found.reasons[0].units == 18_500_000
    # Asking is no attempt: it leaves nothing behind that counts.
    assert asking(world, **attempt)[0].reasons[0].units == 18_500_000


def test_what_can_not_be_judged_is_not_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> object:
        raise RpcUnavailable("the node is away")

    monkeypatch.setattr(issuer, "denied", away)
    with pytest.raises(Unavailable, match="nothing is said"):
        asking(world)


@pytest.mark.parametrize(
    ("asked", "error", "param"),
    [
        ({"networks": ["eip155:7"]}, ParameterInvalid, "networks[0]"),
        ({"asset": "eip155:1/slip44:60"}, ParameterInvalid, "asset"),
        ({"amount": 5}, ParameterMissing, "asset"),
        ({"address": "0x12"}, ParameterInvalid, "address"),
    ],
)
def test_what_can_not_be_asked(
    world: World, asked: dict[str, object], error: type[ParameterInvalid], param: str
) -> None:
    with pytest.raises(error) as refused:
        asking(world, **asked)
    assert refused.value.param == param
