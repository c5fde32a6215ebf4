"""The collector: still while a process starts, at work afterwards."""

import gc

from sakk.runtime.garbage import exempt_from_collection, put_off_collection


def test_a_process_that_has_started_collects_again() -> None:
    thresholds = gc.get_threshold()
    try:
        put_off_collection()
        assert not gc.isenabled()
        exempt_from_collection()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        gc.enable()
