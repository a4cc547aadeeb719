"""The target's statements, as text; and what is told about a table that is there already."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from pyspark.sql import SparkSession

from freshet.pipeline.build import load_pipeline
from freshet.pipeline.ddl import check_target, column_type_of, own_columns, target_ddl
from freshet.pipeline.model import Pipeline
from tests.pipeline.conftest import EXAMPLE, ROOT

GOLDEN = ROOT / "tests" / "golden" / "pipeline"


@pytest.fixture(scope="module")
def example(mysql: MySQLConnectionAbstract, spark: SparkSession) -> Pipeline:
    """The repository's own pipeline, on its real source."""
    return load_pipeline(EXAMPLE, mysql, "sports", spark)


def test_the_examples_select_is_known_to_the_letter(example: Pipeline) -> None:
    """What Spark gets was generated, and is this."""
    assert example.select_sql(["asked"]) + "\n" == (GOLDEN / "sport_event_activity.select.sql").read_text()


def test_the_examples_table_is_known_to_the_letter(example: Pipeline) -> None:
    """The target, its comments and its grants are these."""
    assert ";\n".join(target_ddl(example)) + ";\n" == (GOLDEN / "sport_event_activity.target.sql").read_text()


def test_another_schema_is_made_and_text_is_quoted(example: Pipeline) -> None:
    """Names and comments may hold quotes, backslashes and line ends."""
    odd = replace(example.outputs[0], comment="it's\n a \\ thing")
    pipeline = replace(example, target_schema="sales", outputs=(odd,), distkey=None, sortkey=(), readers=("a", "b"))
    statements = target_ddl(pipeline)
    assert statements[0].startswith('create table if not exists "sales"."sport_event_activity"')
    assert statements[0].endswith('primary key ("ticket_id")\n)')
    assert 'comment on column "sales"."sport_event_activity"."ticket_id" is \'it\'\'s a \\\\ thing\'' in statements
    assert statements[-1] == 'grant select on "sales"."sport_event_activity" to role "b"'


def test_only_a_table_that_marks_deleted_rows_has_a_column_for_it(example: Pipeline) -> None:
    """With `deletes: mark` the target says when a row was found deleted, NULL until then; else it has no such column."""
    marking = replace(example, deletes="mark")
    assert {"_freshet_deleted_at": "timestamp"} == dict(own_columns(marking).items() - own_columns(example).items())
    assert "\n    _freshet_deleted_at timestamp,\n" in target_ddl(marking)[0]
    assert any('."_freshet_deleted_at" is' in statement for statement in target_ddl(marking))
    assert "deleted_at" not in ";".join(target_ddl(example))


@pytest.fixture
def columns(example: Pipeline) -> dict[str, str]:
    """A table that is just as the example wants it."""
    own = {"_freshet_hash": "bigint", "_freshet_commit": "varchar(36)"}
    return {output.name: output.redshift for output in example.outputs} | own


def test_a_table_that_fits_is_taken(example: Pipeline, columns: dict[str, str]) -> None:
    """The same columns in another order fit."""
    assert check_target(example, dict(reversed(columns.items()))) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda c: c.pop("location"), "public.sport_event_activity lacks the column location varchar(480)"),
        (lambda c: c.pop("_freshet_hash"), "public.sport_event_activity lacks the column _freshet_hash bigint"),
        (
            lambda c: c.update(ticket_price="decimal(10,2)"),
            "public.sport_event_activity.ticket_price is decimal(10,2), but the pipeline writes decimal(8,2)",
        ),
        (
            lambda c: c.update(email="varchar(80)"),
            "public.sport_event_activity has a column email that the pipeline does not write",
        ),
    ],
)
def test_a_table_that_differs_is_told(
    example: Pipeline, columns: dict[str, str], change: Callable[[dict[str, str]], object], difference: str
) -> None:
    """Each missing, other and superfluous column is one sentence."""
    change(columns)
    assert check_target(example, columns) == [difference]


@pytest.mark.parametrize(
    ("row", "written"),
    [
        (("character varying", 160, None, None), "varchar(160)"),
        (("numeric", None, 20, 0), "decimal(20,0)"),
        (("timestamp without time zone", None, None, None), "timestamp"),
        (("double precision", None, 53, None), "double precision"),
        (("integer", None, 32, 0), "integer"),
        (("smallint", None, 16, 0), "smallint"),
        (("boolean", None, None, None), "boolean"),
    ],
)
def test_redshifts_own_words_for_types(row: tuple[str, int | None, int | None, int | None], written: str) -> None:
    """svv_columns says types in long words; they are compared in ours."""
    assert column_type_of(*row) == written
