"""The cyclic collector: still while a process starts, and then at work among what is new alone."""

import gc

COLLECT_FROM_OBJECTS = 10_000


def put_off_collection() -> None:
    """Nothing that a starting process loads is garbage: looking for some took a sixth of a start.

    `exempt_from_collection` ends it.
    """
    gc.disable()


def exempt_from_collection() -> None:
    """What the process has made so far lives as long as it does: collect among the rest alone.

    The cyclic collector would else walk through every module again and again; with hundreds of
    rows in hand that is a pause of tens of milliseconds. So is the search for what a start leaves
    behind, which is a thousand objects: they stay too.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_FROM_OBJECTS)
    gc.enable()
