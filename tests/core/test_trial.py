"""Trials, as rules: what a call may change, and what makes it be held."""

import pytest

from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.evm import keccak256
from sakk.core.trial import (
    APPROVAL_TOPIC,
    NATIVE_LOG_ADDRESS,
    NO_CODE,
    Grant,
    Holding,
    Log,
    Move,
    Trial,
    changes_by,
    designation,
    objection,
    read_logs,
)

TREASURY, PAYEE, OURS, OTHER = ("0x" + each * 20 for each in ("a1", "b2", "c3", "d4"))
TOKEN = "0x" + "e5" * 20
WANTED: dict[Holding, int | None] = {(TREASURY, TOKEN): -5, (PAYEE, TOKEN): 5}
PAID = Move(TOKEN, TREASURY, PAYEE, 5)


def word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def units(value: int) -> str:
    return f"0x{value:064x}"


def log(first: str, *ends: str, data: str = "0x", contract: str = TOKEN) -> Log:
    return Log(contract.upper().replace("0X", "0x"), (first, *map(word, ends)), data)


def named(signature: str) -> str:
    return "0x" + keccak256(signature.encode()).hex()


@pytest.mark.parametrize(
    ("seen", "moves", "grants"),
    [
        (log(TRANSFER_TOPIC, TREASURY, PAYEE, data=units(5)), (PAID,), ()),
        (
            log(TRANSFER_TOPIC, TREASURY, PAYEE, data=units(5), contract=NATIVE_LOG_ADDRESS),
            (Move(None, TREASURY, PAYEE, 5),),
            (),
        ),
        # An NFT's transfer has a fourth topic, and no units.
        (log(TRANSFER_TOPIC, TREASURY, PAYEE, OTHER), (), ()),
        (log(TRANSFER_TOPIC, TREASURY), (), ()),
        (
            log(APPROVAL_TOPIC, TREASURY, OTHER, data=units(1)),
            (),
            (Grant("approves", TREASURY, OTHER),),
        ),
        (log(APPROVAL_TOPIC, TREASURY, OTHER, data=units(0)), (), ()),
        (
            log(named("ApprovalForAll(address,address,bool)"), TREASURY, OTHER, data=units(1)),
            (),
            (Grant("approves", TREASURY, OTHER),),
        ),
        # ERC-721: for one token, whose number is the fourth topic.
        (
            log(APPROVAL_TOPIC, TREASURY, OTHER, TOKEN),
            (),
            (Grant("approves", TREASURY, OTHER),),
        ),
        (log(APPROVAL_TOPIC, TREASURY, "0x" + "00" * 20, TOKEN), (), ()),
        # Permit2, by a call and by a signature.
        (
            log(
                named("Approval(address,address,address,uint160,uint48)"),
                *(TREASURY, TOKEN, OTHER),
                data=units(1),
            ),
            (),
            (Grant("approves", TREASURY, OTHER),),
        ),
        (
            log(
                named("Permit(address,address,address,uint160,uint48,uint48)"),
                *(TREASURY, TOKEN, OTHER),
                data=units(1),
            ),
            (),
            (Grant("approves", TREASURY, OTHER),),
        ),
        (
            log(
                named("Permit(address,address,address,uint160,uint48,uint48)"),
                *(TREASURY, TOKEN, OTHER),
                data=units(0),
            ),
            (),
            (),
        ),
        (
            log(named("OwnershipTransferred(address,address)"), TREASURY, OTHER),
            (),
            (Grant("hands over a contract"),),
        ),
        (log(named("Upgraded(address)"), OTHER), (), (Grant("changes a contract's code"),)),
        (
            log(named("DelegateChanged(address,address,address)"), TREASURY, OTHER, PAYEE),
            (),
            (Grant("delegates votes"),),
        ),
        (log(named("Something(address,address)"), TREASURY, OTHER), (), ()),
        (Log(TOKEN, (), "0x"), (), ()),
    ],
)
def test_what_a_log_says(seen: Log, moves: tuple[Move, ...], grants: tuple[Grant, ...]) -> None:
    assert read_logs([seen]) == (moves, grants)


def test_moves_add_up_to_changes() -> None:
    moves = [PAID, Move(TOKEN, PAYEE, OTHER, 2), Move(None, TREASURY, PAYEE, 9)]
    assert changes_by(moves, [(TREASURY, TOKEN), (PAYEE, TOKEN), (OURS, TOKEN)]) == {
        (TREASURY, TOKEN): -5,
        (PAYEE, TOKEN): 3,
        (OURS, TOKEN): 0,
    }


def made(
    *moves: Move, grants: tuple[Grant, ...] = (), changes: dict[Holding, int] | None = None
) -> Trial:
    whole = (PAID, *moves)
    known = changes_by(whole, WANTED) if changes is None else changes
    return Trial(True, changes=known, moves=whole, grants=grants)


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (made(), None),
        (Trial(True), None),
        (made(changes={}), None),
        # What happens between others is not ours to judge.
        (made(Move(TOKEN, PAYEE, OTHER, 0)), None),
        (made(Move(None, OTHER, PAYEE, 3)), None),
        (made(grants=(Grant("approves", OTHER, PAYEE),)), None),
        (made(changes={(TREASURY, TOKEN): -6, (PAYEE, TOKEN): 5}), "would change by -6"),
        (made(changes={(TREASURY, TOKEN): -5, (PAYEE, TOKEN): 4}), "would change by 4"),
        (made(Move(TOKEN, OURS, OTHER, 1)), f"1 of {TOKEN} would move from {OURS}"),
        (made(Move(TOKEN, OTHER, OURS, 1)), f"to {OURS} too"),
        (made(Move(None, TREASURY, OTHER, 1)), "1 of native coin would move"),
        (made(Move(OTHER, TREASURY, PAYEE, 1)), f"1 of {OTHER} would move"),
        (made(Move(OTHER, TREASURY, PAYEE, 0)), None),
        (made(grants=(Grant("approves", TREASURY, OTHER),)), f"approves {OTHER} for {TREASURY}"),
        (made(grants=(Grant("approves", TREASURY, PAYEE),)), None),
        (made(grants=(Grant("hands over a contract"),)), "it also hands over a contract"),
    ],
)
def test_what_nobody_asked_for(trial: Trial, words: str | None) -> None:
    found = objection(trial, WANTED, ours={TREASURY, OURS}, approved={(TREASURY, PAYEE)})
    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        (None, False),
        (sorted(NO_CODE)[0], False),
        (sorted(NO_CODE)[1], False),
        (designation(OTHER), False),
        (designation(PAYEE), True),
        ("0x" + "12" * 32, True),
    ],
)
def test_whose_code_a_sender_runs(code: str | None, is_refused: bool) -> None:
    found = objection(Trial(True, code=code), {}, ours=(), delegates={OTHER})
    assert (found == "its sender runs another's code (EIP-7702)") is is_refused


def test_a_native_change_is_named() -> None:
    seen = Trial(True, changes={(TREASURY, None): -7})
    found = objection(seen, {(TREASURY, None): -5}, ours={TREASURY})
    assert found == f"{TREASURY} would change by -7 of native coin, not -5"


def test_a_token_that_takes_a_fee_may_bring_less() -> None:
    seen = Trial(True, changes={(TREASURY, TOKEN): -5, (PAYEE, TOKEN): 4}, moves=(PAID,))
    wanted: dict[Holding, int | None] = {(TREASURY, TOKEN): -5, (PAYEE, TOKEN): None}
    assert objection(seen, wanted, ours={TREASURY, PAYEE}) is None


def test_the_parties_are_all_that_are_named() -> None:
    grants = (Grant("approves", OURS, OTHER), Grant("delegates votes"))
    assert made(grants=grants).parties == {TREASURY, PAYEE, OURS}
