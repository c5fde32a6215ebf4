"""One look for many stages: a single statement says which of them have rows that are due.

What a stage takes is a `Due`, whose look asks by the conditions of the claim itself: they are said
once. A stage that names all that it takes (``Stage.due``) needs no look of its own.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sakk.flow.stage import Stage
from sakk.store.database import Database, driving


class Lookout:
    """Looks for those of the stages that say what is due to them."""

    def __init__(
        self, database: Database, stages: Sequence[Stage], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._clock = clock
        self._stages = [stage for stage in stages if stage.due]
        looks = [" OR ".join(each.look for each in stage.due) for stage in self._stages]
        self._statement = f"SELECT {', '.join(looks)}"

    def look(self) -> list[Stage]:
        """Those for which there is something now."""
        if not self._stages:
            return []
        with (
            self._database.read() as connection,
            driving(connection, self._statement) as driver,
        ):
            # Prepared at once: to plan it takes longer than to run it.
            found = driver.execute(self._statement, {"now": self._clock()}, prepare=True).fetchone()
        assert found is not None
        return [stage for stage, is_due in zip(self._stages, found, strict=True) if is_due]
