"""Every address of the sandbox triggers its verdict, paid from and paid to."""

from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit, fund_treasury, payout_now

from sakk.core.evm import checksum_address
from sakk.core.screening import Screening, Verdict
from sakk.runtime.sandbox_screening import SUSPECTS, describe_screening, set_up_screening
from sakk.store.screening import latest_screening

RULES = {
    "sanctioned": "direct_sanctions",
    "mixer": "direct_mixer",
    "thief": "direct_crime",
    "behind_thief": "exposed_to_theft",
    "denied_by_issuer": "denied_by_issuer",
}


def found(world: World, subject: str) -> Screening:
    with world.database.begin() as connection:
        screening = latest_screening(connection, subject)
    assert screening is not None
    return screening


def set_up(world: World) -> None:
    set_up_screening(world.database, [world.chain.contracts])
    world.chain.payer.forget_nonce()
    world.chain.issuer.forget_nonce()
    world.finalize()


def test_a_payment_from_each_of_them_and_a_payout_to_each(world: World) -> None:
    set_up(world)
    credit(world, 100)
    fund_treasury(world)
    paid = {}
    for each in SUSPECTS:
        if each.name == "denied_by_issuer":
            continue  # its tokens can not move
        intent = world.intent(2500)
        address = checksum_address(intent.address)
        wallet = world.chain.wallet(each.private_key)
        wallet.transfer(world.contract("usdc"), address, 25 * WHOLE_TOKEN)
        paid[each.name] = intent
    world.finalize()
    for name, intent in paid.items():
        row = world.payin(intent)
        (suspect,) = (each for each in SUSPECTS if each.name == name)
        screening = found(world, row.id)
        assert (screening.verdict, screening.reasons[0].rule) == (suspect.verdict, RULES[name])
        assert row.status == "held"
    for suspect in SUSPECTS:
        payout = world.payout(WHOLE_TOKEN, address=checksum_address(suspect.address))
        world.run()
        screening = found(world, payout.id)
        rules = {reason.rule for reason in screening.reasons}
        assert (screening.verdict, RULES[suspect.name] in rules) == (suspect.verdict, True), rules
        assert payout_now(world, payout).under_review
    # Whoever pays in the sandbox is no suspect: what they were given came from the issuer.
    back = world.payout(WHOLE_TOKEN, address=checksum_address(world.chain.payer.address))
    world.run()
    assert (found(world, back.id).verdict, payout_now(world, back).under_review) == ("clear", False)
    world.check()


def test_three_amounts_just_below_a_thousand_wait_for_a_person(world: World) -> None:
    set_up(world)
    credit(world, 3_000)
    rows = []
    for place in range(3):
        rows.append(world.payout(950 * WHOLE_TOKEN, address=f"0x{place + 2**100:040x}"))
        world.run_only("payout.hold", "payout.screen")
    assert [payout_now(world, row).under_review for row in rows] == [False, False, True]
    (reason,) = found(world, rows[2].id).reasons
    assert (reason.rule, reason.kind) == ("sandbox_structuring", "structuring")


def test_the_description_says_what_each_of_them_does() -> None:
    shown = describe_screening()
    assert [each["name"] for each in shown] == list(RULES)
    assert {each["verdict"] for each in shown} == {Verdict.review, Verdict.block}
    assert shown[0]["address"] == "0x78AF9644c3D70E39B0543bd9f72D6F086ec23103"
