"""Try out what payers signed, on the newest state: would it move the coins, and if not, why?"""

from collections.abc import Sequence
from dataclasses import dataclass

from sakk.core import abi, eip3009, permit2
from sakk.core.capture import Line, Moved, Outcome, encode_capture, outcomes
from sakk.core.contract import CAPTURE
from sakk.core.disperse import TRANSACTION_GAS_MAX, Contradiction, Log
from sakk.core.x402 import Reason
from sakk.core.x402_payment import Claim, Method, encode_call
from sakk.rails.evm.disperse import allowed_units
from sakk.rails.evm.rpc import Call, Rpc, RpcInconsistent, RpcRefused, parse_data, parse_quantity
from sakk.rails.evm.send import TransferWouldFail, call_fields, refusal_reason, revert_reason
from sakk.rails.evm.trial import SimulatedBlock

_NAME = abi.selector("name()")
_VERSION = abi.selector("version()")
_SEPARATOR = abi.selector("DOMAIN_SEPARATOR()")
_GAS_MAX = (1 << 63) - 1
_TEXT_BYTES_MAX = 256

# What tokens say, in lower case: Circle's FiatToken, and OpenZeppelin's draft and ERC-20.
_WORDS = (
    ("authorization is expired", Reason.expired),
    ("authorization is not yet valid", Reason.not_yet_valid),
    ("authorization is used", Reason.nonce_used),
    ("exceeds balance", Reason.insufficient_balance),
    ("invalid signature", Reason.invalid_signature),
)


@dataclass(frozen=True, slots=True)
class Domain:
    """A token's EIP-712 domain: what it calls itself, and the hash of it that it checks by."""

    name: str
    version: str
    separator: bytes


@dataclass(frozen=True, slots=True)
class Tried:
    """What a capture would do if it were mined now."""

    outcomes: list[Outcome]
    gas_used: int


def read_domain(rpc: Rpc, contract: str) -> Domain | None:
    """What a token says of its domain; None if it says nothing that can be read."""
    calls = [
        Call("eth_call", [{"to": contract, "data": "0x" + each.hex()}, "latest"])
        for each in (_NAME, _VERSION, _SEPARATOR)
    ]
    answers = rpc.batch_each(calls, str)
    if any(not isinstance(each, str) for each in answers):
        return None
    name, version, separator = (parse_data(str(each)) for each in answers)
    texts = [_text(name), _text(version)]
    if None in texts or len(separator) != abi.WORD_BYTES:
        return None
    return Domain(str(texts[0]), str(texts[1]), separator)


def has_code(rpc: Rpc, address: str) -> bool:
    """Does a contract stand there?"""
    return rpc.call("eth_getCode", [address, "latest"], str) != "0x"


def would_fail(rpc: Rpc, claim: Claim) -> tuple[Reason, str] | None:
    """Why a payment would not move its coins now; None if it would."""
    return would_fail_each(rpc, [(claim, 0)])[0]


def would_fail_each(
    rpc: Rpc, wanted: Sequence[tuple[Claim, int]]
) -> list[tuple[Reason, str] | None]:
    """Why payments would not move their coins now, each as if it were alone; None if they would.

    With each stands what it and other payments of its payer are about to take, which the payer's
    coins have to cover together.
    """
    tries = []
    holders: dict[tuple[str, str], int] = {}
    for claim, promised in wanted:
        to, data = encode_call(claim)
        tries.append(Call("eth_call", [call_fields(CAPTURE.address, (to, 0, data)), "latest"]))
        if promised > claim.units:
            holders.setdefault((claim.token, claim.payer), len(holders))
    looks = [
        Call(
            "eth_call", [{"to": token, "data": "0x" + abi.encode_balance_of(payer).hex()}, "latest"]
        )
        for token, payer in holders
    ]
    answers = rpc.batch_each([*tries, *looks], str)
    held = answers[len(tries) :]
    found: list[tuple[Reason, str] | None] = []
    for (claim, promised), moved in zip(wanted, answers, strict=False):
        place = holders.get((claim.token, claim.payer))
        if isinstance(moved, RpcRefused):
            found.append(explain(rpc, claim, refusal_reason(moved)))
        elif promised > claim.units and place is not None and _units(held[place]) < promised:
            found.append(
                (
                    Reason.insufficient_balance,
                    "The payer's coins do not cover this and its other payments that are under"
                    " way.",
                )
            )
        else:
            found.append(None)
    return found


def _units(answer: object) -> int:
    return int.from_bytes(parse_data(str(answer), length=abi.WORD_BYTES), "big")


def explain(rpc: Rpc, claim: Claim, words: str) -> tuple[Reason, str]:
    """The reason for words of a contract; where they say none, the state is asked."""
    told = words.lower()
    for phrase, reason in _WORDS:
        if phrase in told:
            return reason, words
    if _is_used(rpc, claim):
        return Reason.nonce_used, "The nonce was used."
    if _balance(rpc, claim) < claim.units:
        return Reason.insufficient_balance, "The payer's coins do not cover it."
    if claim.method is Method.permit2:
        allowed = allowed_units(rpc, token=claim.token, owner=claim.payer, spender=permit2.PERMIT2)
        if allowed < claim.units:
            return Reason.permit2_allowance, "The payer has not approved Permit2 for so much."
    return Reason.simulation_failed, words or "The transfer would revert."


def try_capture(rpc: Rpc, token: str, lines: Sequence[Line], *, sender: str) -> Tried | None:
    """One simulated block with the capture of these lines; None where nodes can not do that.

    TransferWouldFail when the whole would revert, or its logs do not fit together.
    """
    data = encode_capture(token, lines)
    call = call_fields(sender, (CAPTURE.address, 0, data)) | {"gas": hex(TRANSACTION_GAS_MAX)}
    options = {"blockStateCalls": [{"calls": [call]}], "validation": False}
    try:
        blocks = rpc.call("eth_simulateV1", [options, "latest"], list[SimulatedBlock])
    except RpcRefused as error:
        if error.is_method_missing:
            return None
        raise
    if len(blocks) != 1 or len(blocks[0].calls) != 1:
        raise RpcInconsistent("eth_simulateV1 left calls out")
    [done] = blocks[0].calls
    if done.status != "0x1":
        raise TransferWouldFail(f"the capture would revert: {done.why_failed}")
    logs = [
        (
            place,
            Log(
                log.address.lower(),
                tuple(each.lower() for each in log.topics),
                parse_data(log.data),
            ),
        )
        for place, log in enumerate(done.logs)
    ]
    moved = [
        Moved(token, each.authorization.payer, each.authorization.to, each.authorization.units)
        for each in lines
    ]
    try:
        found = outcomes(moved, logs, to=CAPTURE.address, sender=sender)
    except Contradiction as error:
        raise TransferWouldFail(f"the token contradicts itself: {error}") from error
    return Tried(found, parse_quantity(done.gas_used, maximum=_GAS_MAX))


def words_of(outcome: Outcome) -> str:
    """What a token answered to a line that failed."""
    return revert_reason("0x" + outcome.answer.hex())


def _is_used(rpc: Rpc, claim: Claim) -> bool:
    if claim.method is Method.permit2:
        nonce = int(claim.nonce, 16)
        word = _read(rpc, permit2.PERMIT2, permit2.encode_bitmap(claim.payer, nonce))
        return permit2.is_used(int.from_bytes(word, "big"), nonce)
    nonce_bytes = bytes.fromhex(claim.nonce[2:])
    return any(_read(rpc, claim.token, eip3009.encode_state(claim.payer, nonce_bytes)))


def _balance(rpc: Rpc, claim: Claim) -> int:
    return int.from_bytes(_read(rpc, claim.token, abi.encode_balance_of(claim.payer)), "big")


def _read(rpc: Rpc, to: str, data: bytes) -> bytes:
    """A view's answer; nothing where the contract has no such view."""
    try:
        return parse_data(
            rpc.call("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"], str)
        )
    except RpcRefused:
        return b""


def _text(answer: bytes) -> str | None:
    """A string as Solidity answers it."""
    if len(answer) < 2 * abi.WORD_BYTES:
        return None
    length = int.from_bytes(answer[abi.WORD_BYTES : 2 * abi.WORD_BYTES], "big")
    content = answer[2 * abi.WORD_BYTES :][:length]
    if length > _TEXT_BYTES_MAX or len(content) != length:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
