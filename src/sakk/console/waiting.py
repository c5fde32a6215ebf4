"""Why something waits or was given up, as rows keep it, in people's words.

A stage writes down in English why a payout, a sweep, a withdrawal or a transaction does not go on,
with what it is about filled in, as a log would. Here are its sentences; what a node, a venue or a
person said is shown as it was said.
"""

import re
from functools import lru_cache
from string import Formatter
from typing import Final

from sakk.pages.language import DEFAULT, Words, mark

SENTENCES: Final = (
    mark("another transaction of this sender is being signed"),
    mark("another transaction of this sender came first"),
    mark("as many of this sender's transactions as may be are on their way"),
    mark("the sender's coins do not cover it yet"),
    mark("the sender has not enough native coin for gas"),
    mark("the sender lacks {wei} wei of native coin for a higher fee"),
    mark("the sender was given up while this was built"),
    mark("the treasury has not enough native coin for gas"),
    mark("the old address has no native coin for gas: some is on its way"),
    mark("the clone's coins do not cover it"),
    mark("the network is not enabled"),
    mark("the network has no hub"),
    mark("the factory of these clones is not enabled"),
    mark("the factory of this clone is not known on this network"),
    mark("the factory obeys no recoverer: the cold key names one"),
    mark("the allowance of the disperse contract is on its way"),
    mark("the allowance of the disperse contract was ordered"),
    mark("a payment was called off, or the lease was lost"),
    mark("one of the group was called off, or the lease was lost"),
    mark("the lease was lost"),
    mark("{address} is no address of the treasury"),
    mark("{sender} is frozen: {reason}"),
    mark("frozen by {freeze}: {reason}"),
    mark("it was tried {attempts} times: look at the network"),
    mark(
        "the next attempt must offer a tenth more than {offered} wei per gas, and the network's"
        " cap is {cap}"
    ),
    mark(
        "the network asks {asked} wei per gas, the cap is {cap}; it is tried again when fees fall"
    ),
    mark("the transfer would fail: {reason}"),
    mark("the collection would fail: {reason}"),
    mark("the dispersal would revert: {reason}"),
    mark("the capture would revert: {reason}"),
    mark("the token contradicts itself: {reason}"),
    mark("the token does not answer balanceOf"),
    mark("The token answered false and moved nothing."),
    mark("Each of them would fail: the token or its sender is at fault."),
    mark("held, for it would do more than it is for: {what}"),
    mark("the signer refuses: {code}: {reason}"),
    mark("canceled: its nonce was used up"),
    mark("replaced by {hash}"),
    mark("nonce {nonce} is held by {hash}, which is not ours"),
    mark("{providers} answer {method} differently"),
)
# Two or more words for what somebody said or called itself; else one.
_FREE: Final = frozenset({"reason", "what", "providers"})


def said(words: Words, text: str) -> str | None:
    """A sentence of ours in the reader's language; None in English, or where it is not ours."""
    found = None if words.language == DEFAULT else _known(text)
    if found is None:
        return None
    sentence, values = found
    return words.gettext(sentence, **values)


@lru_cache(maxsize=1024)
def _known(text: str) -> tuple[str, dict[str, str]] | None:
    """Which sentence a text is, and what is filled in."""
    for sentence, pattern in _PATTERNS:
        found = pattern.fullmatch(text)
        if found is not None:
            return sentence, found.groupdict()
    return None


def _pattern(sentence: str) -> re.Pattern[str]:
    """What matches a sentence, whatever stands in its places."""
    parts = []
    for literal, name, _, _ in Formatter().parse(sentence):
        parts.append(re.escape(literal))
        if name is not None:
            parts.append(f"(?P<{name}>{'.+' if name in _FREE else r'[^ ]+'})")
    return re.compile("".join(parts), re.DOTALL)


_PATTERNS: Final = [(each, _pattern(each)) for each in SENTENCES]
