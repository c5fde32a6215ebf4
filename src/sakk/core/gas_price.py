"""Gas prices: what a transaction offers per gas, and how much more its replacement offers.

EIP-1559 (https://eips.ethereum.org/EIPS/eip-1559), in wei per gas, integers only. A quote leaves
room for the base fee to rise through several full blocks, and never offers more than the operator's
caps. A replacement follows the rule of go-ethereum's pool (core/txpool/legacypool/list.go): both
fees must be above those before, by a tenth at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sakk.core.errors import Unavailable
from sakk.core.money import format_decimal

GWEI = 10**9
NATIVE_DECIMALS = 18
MAX_FEE_CAP_WEI = 500 * GWEI
PRIORITY_FEE_CAP_WEI = 50 * GWEI
# go-ethereum's pool takes 0.001 gwei and more.
PRIORITY_FEE_FLOOR_WEI = GWEI // 1_000
REPLACE_AFTER_SECONDS = 60
# A base fee that rises through so many full blocks in a row is still covered.
HEADROOM_BLOCKS = 6
HISTORY_BLOCKS = 10
REWARD_PERCENTILE = 50
# So many blocks with transactions must show it before a chain counts as one without tips.
TIPLESS_BLOCKS_MIN = 3
BASE_FEE_CHANGE_DENOMINATOR = 8
ELASTICITY = 2
# In thousandths of the fee before: what nodes demand of a replacement, and a little more for tips.
MAX_FEE_BUMP = 1_100
PRIORITY_FEE_BUMP = 1_125
_THOUSAND = 1_000


class FeesAboveCap(Unavailable):
    """The network's fees are above the operator's cap: wait, or raise the cap."""

    code = "fees_above_cap"


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that the operator pays on a network, in wei per gas."""

    max_fee_per_gas: int = MAX_FEE_CAP_WEI
    max_priority_fee_per_gas: int = PRIORITY_FEE_CAP_WEI


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas; ``base_fee_per_gas`` is the next block's."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    base_fee_per_gas: int

    @property
    def needed(self) -> int:
        """What the next block asks: its base fee and the tip that others give."""
        return self.base_fee_per_gas + self.max_priority_fee_per_gas


@dataclass(frozen=True, slots=True)
class Reward:
    """The tip at the percentile of one block; ``busy``: it had transactions, so the tip is real."""

    wei: int
    busy: bool


def tip(rewards: Sequence[Reward], *, cap: int) -> int:
    """The tip to give: the median of what was given lately, within the floor and the cap.

    No tip at all where blocks with transactions show that none is asked: such are some rollups.
    """
    real = sorted(each.wei for each in rewards if each.busy)
    if len(real) >= TIPLESS_BLOCKS_MIN and not real[-1]:
        return 0
    median = real[len(real) // 2] if real else 0
    return min(max(median, PRIORITY_FEE_FLOOR_WEI), cap)


def with_headroom(base_fee: int, *, blocks: int = HEADROOM_BLOCKS) -> int:
    """The highest base fee after so many full blocks; each adds an eighth, rounded up."""
    for _ in range(blocks):
        base_fee += -(-base_fee // BASE_FEE_CHANGE_DENOMINATOR)
    return base_fee


def next_base_fee(base_fee: int, *, gas_used: int, gas_limit: int) -> int:
    """The base fee of the block after one that used so much gas, by EIP-1559's formula."""
    target = max(gas_limit // ELASTICITY, 1)
    if gas_used == target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    return base_fee + max(change, 1) if gas_used > target else base_fee - change


def quote(base_fee: int, rewards: Sequence[Reward], caps: Caps) -> Fees:
    """Fees for the next blocks. FeesAboveCap when even the next block asks more than the cap."""
    given = tip(rewards, cap=caps.max_priority_fee_per_gas)
    if base_fee + given > caps.max_fee_per_gas:
        raise FeesAboveCap(
            f"the network asks {base_fee + given} wei per gas, the cap is {caps.max_fee_per_gas};"
            " it is tried again when fees fall"
        )
    return Fees(
        max_fee_per_gas=min(with_headroom(base_fee) + given, caps.max_fee_per_gas),
        max_priority_fee_per_gas=given,
        base_fee_per_gas=base_fee,
    )


def is_enough(offered: Fees, now: Fees) -> bool:
    """Would blocks take what was offered, as fees are now? Then another offer changes nothing."""
    given = min(offered.max_priority_fee_per_gas, offered.max_fee_per_gas - now.base_fee_per_gas)
    return given >= now.max_priority_fee_per_gas


def raised(offered: Fees, now: Fees, caps: Caps) -> Fees | None:
    """The fees of a replacement: what is needed now, and at least what nodes demand of one.

    None where the caps leave no room for that: then the bytes that are out must wait.
    """
    least_tip = _bumped(offered.max_priority_fee_per_gas, PRIORITY_FEE_BUMP)
    least_max = max(_bumped(offered.max_fee_per_gas, MAX_FEE_BUMP), least_tip)
    if least_tip > caps.max_priority_fee_per_gas or least_max > caps.max_fee_per_gas:
        return None
    given = max(now.max_priority_fee_per_gas, least_tip)
    return Fees(
        max_fee_per_gas=min(max(now.max_fee_per_gas, least_max, given), caps.max_fee_per_gas),
        max_priority_fee_per_gas=given,
        base_fee_per_gas=now.base_fee_per_gas,
    )


def in_coins(wei: int) -> str:
    """Wei as an exact decimal of the chain's own coin, which has 18 on every EVM chain."""
    return format_decimal(wei, NATIVE_DECIMALS)


def _bumped(wei: int, thousandths: int) -> int:
    """Strictly more, and by the share at least, rounded up."""
    return max(-(-wei * thousandths // _THOUSAND), wei + 1)
