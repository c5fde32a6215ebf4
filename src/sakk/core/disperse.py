"""Disperse: many payments of one token in one transaction, and what became of each.

The contract (contracts/src/evm/Disperse.sol) pulls every payment from its caller. A payment that
fails stops no other and is named by an event; one that succeeds is told by the token's Transfer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sakk.core import abi, evm

# EIP-7825: no transaction may use more gas, whatever its block may hold.
TRANSACTION_GAS_MAX = 1 << 24
# What the contract wants to have left before it tries a payment: see Disperse.sol.
GAS_BEFORE_PAYMENT = 200_000 * 64 // 63 + 20_000
LINES_MAX = 200
# A payment is one word: 160 bits of recipient and 96 of units.
UNITS_MAX = (1 << 96) - 1

DISPERSE = abi.selector("disperse(address,bytes32[])")
FAILED_TOPIC = "0x" + evm.keccak256(b"Failed(address,uint256,bytes)").hex()
STOPPED_TOPIC = "0x" + evm.keccak256(b"Stopped(address,uint256)").hex()

_UNITS_BYTES = 12


class Contradiction(ValueError):
    """The logs of a receipt do not fit together: somebody lies, and nothing follows from them."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One line: to whom (lower-case hex), and how many atomic units."""

    to: str
    units: int


@dataclass(frozen=True, slots=True)
class Dispersal:
    """The calldata of one call: the token's address, and its payments in order."""

    token: str
    payments: tuple[Payment, ...]

    @property
    def units(self) -> int:
        return sum(each.units for each in self.payments)


@dataclass(frozen=True, slots=True)
class Log:
    """One event of a receipt: the contract and topics in lower-case hex, and the data."""

    contract: str
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a mined dispersal did: the lines that failed, with the token's answer to each.

    ``untried_from``: from this line on the gas was used up, and those are among the failed.
    """

    failed: Mapping[int, bytes] = field(default_factory=dict)
    untried_from: int | None = None


def encode_disperse(token: str, payments: Sequence[Payment]) -> bytes:
    """Calldata of ``disperse(token, payments)``; ValueError for a payment that is no word."""
    words = [abi.encode_address(token), abi.encode_uint(2 * abi.WORD_BYTES)]
    words.append(abi.encode_uint(len(payments)))
    words += [_word(each) for each in payments]
    return DISPERSE + b"".join(words)


def decode_disperse(data: bytes) -> Dispersal:
    """Read calldata that is exactly one dispersal; ValueError says what it is instead."""
    if data[: abi.SELECTOR_BYTES] != DISPERSE:
        raise ValueError(f"not a dispersal but {abi.describe_call(data)}")
    words = [
        data[place : place + abi.WORD_BYTES]
        for place in range(abi.SELECTOR_BYTES, len(data), abi.WORD_BYTES)
    ]
    if len(words) < 3 or len(words[-1]) != abi.WORD_BYTES:
        raise ValueError(f"a dispersal of {len(data)} bytes is cut off")
    offset, count = (int.from_bytes(word, "big") for word in words[1:3])
    if offset != 2 * abi.WORD_BYTES or count != len(words) - 3 or not count:
        raise ValueError(f"a dispersal of {len(data)} bytes says that it holds {count} payments")
    return Dispersal(abi.decode_address(words[0]), tuple(_payment(word) for word in words[3:]))


def gas_limit(gas_used: int, *, margin_percent: int) -> int:
    """The limit for a dispersal that used so much when tried: its last payment still begins."""
    return gas_used + gas_used * margin_percent // 100 + GAS_BEFORE_PAYMENT


def outcomes(
    dispersal: Dispersal,
    logs: Sequence[Log],
    *,
    contract: str,
    sender: str,
    takes_fee: bool = False,
) -> Outcomes:
    """What each line of a mined, successful dispersal did, by the receipt's logs.

    Only events of ``contract`` about ``sender`` name failures, and only Transfers of the token out
    of ``sender`` tell of payments: to each recipient exactly as many as it has lines that did not
    fail, each of exactly its units. A token that takes a fee may log less, and its own fee too.
    ``Contradiction`` if the two do not fit: then nothing is known.
    """
    failed, untried_from = failures(logs, contract, sender, lines=len(dispersal.payments))
    left = _left(logs, dispersal.token, sender)
    wanted: dict[str, list[int]] = {}
    for line, payment in enumerate(dispersal.payments):
        units = wanted.setdefault(payment.to, [])
        if line not in failed:
            units.append(payment.units)
    for recipient, units in wanted.items():
        found = left.get(recipient, [])
        if takes_fee:
            fits = len(found) >= len(units)
        else:
            fits = Counter(found) == Counter(units)
        if not fits:
            raise Contradiction(
                f"lines of {sorted(units)} units to {recipient} did not fail, the token tells of"
                f" {sorted(found)}"
            )
    return Outcomes(failed, untried_from)


def failures(
    logs: Sequence[Log], contract: str, sender: str, *, lines: int
) -> tuple[dict[int, bytes], int | None]:
    """The lines that our contract names, with the token's answers; and where it stopped."""
    failed: dict[int, bytes] = {}
    untried_from: int | None = None
    for log in logs:
        if log.contract != contract or len(log.topics) != 2 or log.topics[1] != topic_of(sender):
            continue
        if log.topics[0] not in (FAILED_TOPIC, STOPPED_TOPIC):
            continue
        line = int.from_bytes(log.data[: abi.WORD_BYTES], "big")
        if len(log.data) < abi.WORD_BYTES or line >= lines or line in failed:
            raise Contradiction(f"an event names line {line} of {lines}, which cannot be")
        if log.topics[0] == STOPPED_TOPIC:
            untried_from = line
            failed.update(dict.fromkeys(range(line, lines), b""))
        else:
            failed[line] = _reason(log.data)
    return failed, untried_from


def _reason(data: bytes) -> bytes:
    """The bytes of an event's second argument, as far as they are there."""
    length = int.from_bytes(data[2 * abi.WORD_BYTES : 3 * abi.WORD_BYTES], "big")
    return data[3 * abi.WORD_BYTES :][:length]


def _left(logs: Sequence[Log], token: str, sender: str) -> dict[str, list[int]]:
    """Per recipient, what the token says that it moved out of the sender."""
    found: dict[str, list[int]] = {}
    for log in logs:
        if (
            log.contract == token
            and len(log.topics) == 3
            and log.topics[0] == abi.TRANSFER_TOPIC
            and log.topics[1] == topic_of(sender)
            and len(log.data) == abi.WORD_BYTES
        ):
            recipient = "0x" + log.topics[2][-2 * evm.ADDRESS_BYTES :]
            found.setdefault(recipient, []).append(int.from_bytes(log.data, "big"))
    return found


def topic_of(address: str) -> str:
    """An address as an event's topic."""
    return "0x" + address[2:].lower().rjust(2 * abi.WORD_BYTES, "0")


def _word(payment: Payment) -> bytes:
    if not 0 <= payment.units <= UNITS_MAX:
        raise ValueError(f"a payment's units are at most {UNITS_MAX}, not {payment.units}")
    recipient = bytes.fromhex(evm.parse_address(payment.to)[2:])
    return recipient + payment.units.to_bytes(_UNITS_BYTES, "big")


def _payment(word: bytes) -> Payment:
    return Payment(
        "0x" + word[: evm.ADDRESS_BYTES].hex(),
        int.from_bytes(word[evm.ADDRESS_BYTES :], "big"),
    )
