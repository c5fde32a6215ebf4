"""What is approved of a batch, made again from its lines: nobody signs a root that another made.

This file needs Python alone. Read what every line says, then let it make the message, and sign that
one: it is the server's if the server signs nothing else under it.
"""

import hashlib
from collections.abc import Sequence


def batch_message(payout_batch: str, messages: Sequence[str]) -> str:
    """What an approver signs of payouts of a batch, from their own messages in their order.

    The number of them and the root of a Merkle tree with SHA-256 (RFC 9162, section 2.1.1).
    """
    level = [hashlib.sha256(b"\x00" + each.encode()).digest() for each in messages]
    if not level:
        raise ValueError("no payout is to be approved")
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        # The last of an odd level goes up as it is.
        level = above + level[len(above) * 2 :]
    return f"sakk batch approval v1\n{payout_batch}\n{len(messages)}\n{level[0].hex()}"
