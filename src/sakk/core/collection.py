"""Collections: one call that has many deposit addresses pay, whichever contract is called."""

from sakk.core import abi, clone, hub
from sakk.core.hub import Item


def items_of(to: str | None, data: bytes) -> tuple[Item, ...]:
    """What a call of a hub or a factory takes from whom; ValueError if it is neither.

    A clone is named by its salt: which address that is follows from the factory that is called.
    """
    if to is None or data[: abi.SELECTOR_BYTES] != clone.SWEEP:
        return hub.decode_sweep(data)
    return tuple(
        Item(clone.address_of(to, item.salt), item.token, item.units)
        for item in clone.decode_sweep(data)
    )
