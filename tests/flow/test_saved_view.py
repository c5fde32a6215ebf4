"""Saved views: kept by a person, replaced by name, nobody else's."""

import pytest

from sakk.core.errors import UnexpectedState
from sakk.core.saved_view import VIEWS_MAX
from sakk.flow.saved_view import save
from sakk.store.database import Database
from sakk.store.identity import now
from sakk.store.saved_view import list_views, remove


def test_a_view_is_its_persons_alone(database: Database) -> None:
    with database.begin() as connection:

        def keep(name: str, query: str, person: str = "per_a") -> str:
            view = save(
                connection, person=person, screen="/payments", name=name, query=query, now=now()
            )
            return view.id

        def names(person: str = "per_a") -> list[tuple[str, str]]:
            found = list_views(connection, person=person, screen="/payments")
            return [(each.name, each.query) for each in found]

        keep("late", "timing=late")
        keep(" late ", "timing=late&currency=usdc")
        other = keep("late", "status=expired", person="per_b")
        assert names() == [("late", "timing=late&currency=usdc")]
        remove(connection, other, person="per_a")
        assert names("per_b") == [("late", "status=expired")]
        for index in range(1, VIEWS_MAX):
            keep(f"view {index:02}", "")
        with pytest.raises(UnexpectedState):
            keep("one more", "")
        keep("late", "")
        remove(
            connection,
            list_views(connection, person="per_a", screen="/payments")[0].id,
            person="per_a",
        )
        assert len(names()) == VIEWS_MAX - 1
