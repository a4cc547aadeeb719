"""Finding and reading a pipeline's folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from freshet.errors import DefinitionError, InputError
from freshet.pipeline.definition import find_pipeline, load_definition
from tests.pipeline.conftest import EXAMPLE, ROOT


def test_the_example_is_right() -> None:
    """The repository's own pipeline passes, and only the customer's name is marked."""
    definition = load_definition(EXAMPLE)
    assert definition.tables == ("ticket_activity", "ticket", "sport_event", "customer")
    assert definition.advice == ("name looks personal and leaves in the clear; if it is, declare it under pii",)
    assert definition.freshness_s == 30.0


def test_a_pipeline_is_found_by_name_or_path(tmp_path: Path) -> None:
    """A name is looked up below the root, a path is taken as it is, and a slip gets a suggestion."""
    root = ROOT / "sql" / "pipelines"
    assert find_pipeline("sport_event_activity", root) == EXAMPLE
    assert find_pipeline(str(EXAMPLE), tmp_path) == EXAMPLE
    with pytest.raises(InputError, match="no pipeline sport_event_activty; did you mean sport_event_activity"):
        find_pipeline("sport_event_activty", root)
    with pytest.raises(InputError, match="there is no pipeline x; there are premium_sales, sport_event_activity"):
        find_pipeline("x", root)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A folder with one file of the two says which is missing."""
    (tmp_path / "select.sql").write_text("select a.id from a")
    with pytest.raises(DefinitionError, match=r"pipeline\.yaml: the file is missing"):
        load_definition(tmp_path)


def test_a_file_that_is_not_text_is_refused(folder: Callable[..., Path]) -> None:
    """Bytes that are not UTF-8 end as an error of the file, not as a stack trace."""
    made = folder()
    (made / "select.sql").write_bytes(b"select '\xff'")
    with pytest.raises(DefinitionError, match=r"select\.sql: the file is not UTF-8"):
        load_definition(made)


@pytest.mark.parametrize("deletes", ["ignore", "apply", "mark"])
def test_every_way_of_deletes_is_taken(folder: Callable[..., Path], deletes: str) -> None:
    """A deleted row stays, goes or is marked, as the pipeline says; cascades are refused unless it says otherwise."""
    yaml = f"target: public.t\nkeys: [id]\ndeletes: {deletes}\n"
    definition = load_definition(folder("select id from t", yaml))
    assert (deletes, False) == (definition.deletes, definition.cascades)
    assert load_definition(folder("select id from t", yaml + "cascades: sweep\n")).cascades


def test_comments_become_descriptions(folder: Callable[..., Path]) -> None:
    """A comment after an output, before it or inside it is that output's."""
    select = """select
    a.ticket_id, -- one ticket
    -- who bought it
    a.purchased_by,
    a.created_at as /* in UTC */ created_at -- when
    , a.updated_at
from ticket_activity as a -- the fact"""
    yaml = "target: public.t\nkeys: [ticket_id]\n"
    comments = [item.comment for item in load_definition(folder(select, yaml)).select.items]
    assert comments == ["one ticket", "who bought it", "in UTC when", None]


def test_a_declared_column_that_is_not_used_is_an_advice(folder: Callable[..., Path]) -> None:
    """Declaring more than the SELECT uses is no mistake, but is told."""
    yaml = "target: public.t\nkeys: [ticket_id]\npii: {ticket_activity.note: tokenize}\n"
    definition = load_definition(folder("select a.ticket_id from ticket_activity as a", yaml))
    assert definition.advice == ("ticket_activity.note is declared personal, but the SELECT does not use it",)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("a.home_address", True),
        ("a.birth_date as x", True),
        ("a.x as phone", True),
        ("lower(a.email) as x", True),
        ("tokenize(a.email) as email", False),
        ("a.seat as x", False),
        ("a.shipment as x", False),
    ],
)
def test_a_clear_column_whose_name_looks_personal_is_marked(
    folder: Callable[..., Path], expression: str, told: bool
) -> None:
    """Names of people's things are marked by whole words, under both of their names, unless they are protected."""
    made = folder(f"select a.ticket_id, {expression} from t as a", "target: public.t\nkeys: [ticket_id]\n")
    assert told == bool(load_definition(made).advice)
