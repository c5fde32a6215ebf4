"""Read balances and a token's facts from a node, at one pinned block.

Balances come by Multicall3's ``aggregate3`` where it stands (the same address on every chain), else
by batched calls. A balance that cannot be read is an error, never a zero.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sakk.core import abi, caip
from sakk.core.errors import Misconfigured, Unavailable
from sakk.rails.evm.rpc import Call, Rpc, RpcRefused, parse_data, parse_quantity
from sakk.rails.rail import BlockRef

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
# A balanceOf through a proxy costs up to 35k gas; nodes cap eth_call at 50M.
CALLS_PER_MULTICALL = 500
DECIMALS_MAX = 255

_AGGREGATE3 = abi.selector("aggregate3((address,bool,bytes)[])")
_ETH_BALANCE = abi.selector("getEthBalance(address)")
_DECIMALS = abi.selector("decimals()")
_SYMBOL = abi.selector("symbol()")
_NAME = abi.selector("name()")

# (address in lower-case hex, CAIP-19 asset)
Holding = tuple[str, str]


class BalanceUnreadable(Unavailable):
    """The contract did not answer ``balanceOf`` with a number."""

    code = "balance_unreadable"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What a token contract says of itself."""

    contract: str
    decimals: int
    symbol: str
    name: str


def balances(rpc: Rpc, holdings: Iterable[Holding], block: int | str) -> dict[Holding, int]:
    """Every holding's balance in atomic units at one block, given by number or by hash.

    A hash must be of the chain's current branch (EIP-1898, ``requireCanonical``).
    """
    at: object = hex(block) if isinstance(block, int) else canonical(block)
    wanted = list(dict.fromkeys(holdings))
    has_multicall = rpc.call("eth_getCode", [MULTICALL3, at], str) != "0x"
    found: dict[Holding, int] = {}
    for chunk in _chunks(wanted, CALLS_PER_MULTICALL):
        values = _by_multicall(rpc, chunk, at) if has_multicall else None
        # One token that eats all gas fails a whole multicall; alone it fails only itself.
        found.update(zip(chunk, values or _one_by_one(rpc, chunk, at), strict=True))
    return found


def net_changes(rpc: Rpc, holdings: Sequence[Holding], block: BlockRef) -> dict[Holding, int]:
    """By how many units each holding changed in one block: what really arrived, less what left.

    For tokens whose Transfer event says more than they credit (a fee on transfer).
    """
    before = balances(rpc, holdings, block.parent_hash)
    after = balances(rpc, holdings, block.hash)
    return {holding: after[holding] - before[holding] for holding in after}


def canonical(block_hash: str) -> dict[str, object]:
    """A block by its hash, as a call's block parameter (EIP-1898)."""
    return {"blockHash": block_hash, "requireCanonical": True}


def token_facts(rpc: Rpc, contract: str) -> TokenFacts:
    """Ask a token for its decimals, symbol and name. Misconfigured if there is no such token."""
    if rpc.call("eth_getCode", [contract, "latest"], str) == "0x":
        raise Misconfigured(f"no contract stands at {contract} on this network", param="contract")
    decimals = _read(rpc, contract, _DECIMALS)
    if len(decimals) != abi.WORD_BYTES or int.from_bytes(decimals, "big") > DECIMALS_MAX:
        raise Misconfigured(f"the contract {contract} states no decimals", param="contract")
    return TokenFacts(
        contract=contract,
        decimals=int.from_bytes(decimals, "big"),
        symbol=_text(_read(rpc, contract, _SYMBOL)),
        name=_text(_read(rpc, contract, _NAME)),
    )


def encode_balances(holdings: Sequence[Holding]) -> bytes:
    """Calldata of Multicall3 that reads many balances at once."""
    # Imported at the first use: it costs every process a third of its start.
    from eth_abi.abi import encode

    calls = []
    for address, asset in holdings:
        contract = caip.erc20_contract(asset)
        word = bytes.fromhex(address[2:]).rjust(abi.WORD_BYTES, b"\x00")
        if contract is None:
            calls.append((MULTICALL3, True, _ETH_BALANCE + word))
        else:
            calls.append((contract, True, abi.BALANCE_OF + word))
    return _AGGREGATE3 + encode(["(address,bool,bytes)[]"], [calls])


def decode_balances(answer: bytes, *, count: int) -> list[int] | None:
    """What Multicall3 answered to that, in order; None if it is not understood."""
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        results = decode(["(bool,bytes)[]"], answer)[0]
    except DecodingError:
        return None
    if len(results) != count:
        return None
    if any(not succeeded or len(returned) != abi.WORD_BYTES for succeeded, returned in results):
        return None
    return [int.from_bytes(returned, "big") for _, returned in results]


def _by_multicall(rpc: Rpc, holdings: Sequence[Holding], at: object) -> list[int] | None:
    """Balances by one aggregate3; None if the node refuses it or it is not understood."""
    data = "0x" + encode_balances(holdings).hex()
    try:
        answer = rpc.call("eth_call", [{"to": MULTICALL3, "data": data}, at], str)
    except RpcRefused:
        return None
    return decode_balances(parse_data(answer), count=len(holdings))


def _one_by_one(rpc: Rpc, holdings: Sequence[Holding], at: object) -> list[int]:
    """Balances by one call each, batched."""
    calls = []
    for address, asset in holdings:
        contract = caip.erc20_contract(asset)
        if contract is None:
            calls.append(Call("eth_getBalance", [address, at]))
        else:
            data = "0x" + abi.BALANCE_OF.hex() + address[2:].rjust(2 * abi.WORD_BYTES, "0")
            calls.append(Call("eth_call", [{"to": contract, "data": data}, at]))
    answers = rpc.batch_each(calls, str)
    values = []
    for (address, asset), call, answer in zip(holdings, calls, answers, strict=True):
        where = f"the balance of {address} in {asset}"
        if isinstance(answer, RpcRefused):
            raise BalanceUnreadable(f"{where}: {answer.message}")
        if answer is None:
            raise BalanceUnreadable(f"{where}: the node answered with nothing")
        if call.method == "eth_getBalance":
            values.append(parse_quantity(answer))
        elif len(returned := parse_data(answer)) != abi.WORD_BYTES:
            raise BalanceUnreadable(f"{where}: the contract answers {len(returned)} bytes")
        else:
            values.append(int.from_bytes(returned, "big"))
    return values


def _read(rpc: Rpc, contract: str, call: bytes) -> bytes:
    """Call a view function; nothing if it reverts or does not exist."""
    try:
        answer = rpc.call("eth_call", [{"to": contract, "data": "0x" + call.hex()}, "latest"], str)
    except RpcRefused:
        return b""
    return parse_data(answer)


def _text(returned: bytes) -> str:
    """A string as the ABI writes it, or as early tokens did (bytes32 padded with zeros)."""
    if len(returned) == abi.WORD_BYTES:
        return returned.rstrip(b"\x00").decode(errors="replace")
    from eth_abi.abi import decode
    from eth_abi.exceptions import DecodingError

    try:
        text: str = decode(["string"], returned)[0]
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return ""
    return text


def _chunks(items: Sequence[Holding], size: int) -> Iterator[list[Holding]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
