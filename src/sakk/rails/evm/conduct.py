"""What a block shows done in the name of our addresses: transactions, approvals, delegations.

Whether we did it is not known here. A transaction's sender and an authorisation's signer are proved
by their signatures. An approval is what a token's contract says, and anybody's contract may say
anything: only those of tokens that are listed count (``sakk.flow.breach``).
"""

from collections.abc import Callable, Iterable, Sequence

from sakk.core import caip, evm
from sakk.core.authorization import Authorization, SignedAuthorization, authority
from sakk.core.trial import APPROVAL_FOR_ALL_TOPIC, APPROVAL_TOPIC
from sakk.rails.evm.raw import RawAuthorization, RawLog, RawTransaction
from sakk.rails.evm.rpc import parse_data, parse_quantity
from sakk.rails.rail import ActSeen, BlockRef

GRANT_TOPICS = frozenset({APPROVAL_TOPIC, APPROVAL_FOR_ALL_TOPIC})


def granted(network: str, ref: BlockRef, logs: Iterable[RawLog]) -> list[ActSeen]:
    """What these logs say may be spent by whom; one that takes a right back grants nothing."""
    acts = []
    for log in logs:
        # ERC-20 and ERC-1155 say an amount, or yes; ERC-721 names the one token in a fourth topic.
        units = int.from_bytes(parse_data(log.data)[:32], "big") if len(log.topics) == 3 else 1
        if len(log.topics) < 3 or not units or log.removed:
            continue
        is_operator = log.topics[0] == APPROVAL_FOR_ALL_TOPIC
        acts.append(
            ActSeen(
                network=network,
                kind="operator" if is_operator else "approval",
                address="0x" + log.topics[1][-40:].lower(),
                other="0x" + log.topics[2][-40:].lower(),
                asset=f"{network}/{caip.ERC20_NAMESPACE}:{log.address.lower()}",
                units=None if is_operator else units,
                tx_hash=log.transaction_hash,
                place=parse_quantity(log.log_index),
                block_number=ref.number,
                block_hash=ref.hash,
            )
        )
    return acts


def sent(
    network: str,
    ref: BlockRef,
    transactions: Sequence[RawTransaction],
    contains: Callable[[str], bool],
) -> list[ActSeen]:
    """The transactions that our addresses sent, and the authorisations that they signed."""
    acts = []
    for each in transactions:
        if contains(each.sender):
            other = each.to or evm.ZERO_ADDRESS
            acts.append(_act(network, ref, each, "transaction", each.sender, other, 0))
        for place, given in enumerate(each.authorization_list):
            signer = _signer(given)
            if signer is not None and contains(signer):
                acts.append(_act(network, ref, each, "delegation", signer, given.address, place))
    return acts


def _act(
    network: str,
    ref: BlockRef,
    transaction: RawTransaction,
    kind: str,
    address: str,
    other: str,
    place: int,
) -> ActSeen:
    return ActSeen(
        network=network,
        kind="transaction" if kind == "transaction" else "delegation",
        address=address.lower(),
        other=other.lower(),
        asset=None,
        units=None,
        tx_hash=transaction.hash,
        place=place,
        block_number=ref.number,
        block_hash=ref.hash,
    )


def _signer(given: RawAuthorization) -> str | None:
    """Whose signature it is; None for one of no key, which the chain passes over too.

    Anybody may put anything here, and nodes write numbers in several ways: nothing of it may stop
    the watcher.
    """
    try:
        signed = SignedAuthorization(
            Authorization(int(given.chain_id, 16), given.address.lower(), int(given.nonce, 16)),
            evm.Signature(int(given.y_parity, 16), int(given.r, 16), int(given.s, 16)),
        )
        return authority(signed)
    except (ValueError, OverflowError):
        return None
