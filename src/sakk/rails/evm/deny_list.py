"""Ask tokens which addresses their issuers deny, at one block.

No standard names the call: Circle's FiatToken has ``isBlacklisted``, Tether's ``isBlackListed``,
Paxos' ``isFrozen``. All three are asked, in one Multicall3 where it stands; what answers with a
word counts. A token that answers none of them is said so, never taken for one that denies nobody.
"""

from collections.abc import Sequence

from sakk.core import abi
from sakk.core.errors import Unavailable
from sakk.rails.evm.balances import MULTICALL3
from sakk.rails.evm.rpc import Call, Rpc, RpcRefused, parse_data

QUESTIONS = tuple(
    abi.selector(f"{name}(address)") for name in ("isBlacklisted", "isBlackListed", "isFrozen")
)
# Three calls each; through a proxy a call costs up to 35,000 gas, and nodes cap eth_call at 50M.
ADDRESSES_MAX = 150
_AGGREGATE3 = abi.selector("aggregate3((address,bool,bytes)[])")

# The token's contract, and the address that is asked about, in lower-case hex.
Asked = tuple[str, str]


class DenyListUnreadable(Unavailable):
    """The node's answer about a token's deny-list can not be understood."""

    code = "deny_list_unreadable"


def denied(rpc: Rpc, asked: Sequence[Asked], block: int) -> dict[Asked, bool | None]:
    """Does each token deny the address? None where its contract answers no known question."""
    wanted = list(dict.fromkeys(asked))
    if not wanted:
        return {}
    at = hex(block)
    has_multicall = rpc.call("eth_getCode", [MULTICALL3, at], str) != "0x"
    found: dict[Asked, bool | None] = {}
    for start in range(0, len(wanted), ADDRESSES_MAX):
        chunk = wanted[start : start + ADDRESSES_MAX]
        answers = _by_multicall(rpc, chunk, at) if has_multicall else None
        if answers is None:
            answers = _one_by_one(rpc, chunk, at)
        for place, each in enumerate(chunk):
            said = answers[place * len(QUESTIONS) : (place + 1) * len(QUESTIONS)]
            known = [word for word in said if word is not None]
            found[each] = any(known) if known else None
    return found


def _calls(asked: Sequence[Asked]) -> list[tuple[str, bytes]]:
    return [
        (contract, question + bytes.fromhex(address[2:]).rjust(abi.WORD_BYTES, b"\x00"))
        for contract, address in asked
        for question in QUESTIONS
    ]


def _by_multicall(rpc: Rpc, asked: Sequence[Asked], at: str) -> list[bool | None] | None:
    """By one aggregate3; None if the node refuses it: one call may have eaten all gas."""
    # Imported at the first use: it costs every process a third of its start.
    from eth_abi.abi import decode, encode
    from eth_abi.exceptions import DecodingError

    calls = [(contract, True, data) for contract, data in _calls(asked)]
    data = "0x" + (_AGGREGATE3 + encode(["(address,bool,bytes)[]"], [calls])).hex()
    try:
        answer = rpc.call("eth_call", [{"to": MULTICALL3, "data": data}, at], str)
        results = decode(["(bool,bytes)[]"], parse_data(answer))[0]
    except RpcRefused:
        return None
    except DecodingError as error:
        raise DenyListUnreadable(f"Multicall3 answered something unreadable: {error}") from None
    if len(results) != len(calls):
        raise DenyListUnreadable(f"Multicall3 answered {len(results)} of {len(calls)} calls")
    return [_word(returned) if succeeded else None for succeeded, returned in results]


def _one_by_one(rpc: Rpc, asked: Sequence[Asked], at: str) -> list[bool | None]:
    """By a call each, batched."""
    calls = [
        Call("eth_call", [{"to": contract, "data": "0x" + data.hex()}, at])
        for contract, data in _calls(asked)
    ]
    return [
        None if answer is None or isinstance(answer, RpcRefused) else _word(parse_data(answer))
        for answer in rpc.batch_each(calls, str)
    ]


def _word(returned: bytes) -> bool | None:
    """A truth value as the ABI writes it; anything else is no answer."""
    if len(returned) != abi.WORD_BYTES:
        return None
    value = int.from_bytes(returned, "big")
    return None if value > 1 else bool(value)
