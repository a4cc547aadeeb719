"""What an answer holds: every type exactly, no more than AWS Lambda takes, and errors that name no value."""

import io
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from batch_jobs.pull import answer as answer_module
from batch_jobs.pull import handler as handler_module
from batch_jobs.pull.answer import ANSWER_BYTES_MAX, encoded_size
from batch_jobs.pull.definition import read_definition
from batch_jobs.pull.handler import handler
from batch_jobs.pull.puller import on_lambda
from freshet.cli.context import Place
from freshet.errors import EnvironmentFault, FreshetError, InputError, TerminalError
from freshet.redshift import runs
from freshet.redshift.data_api import StatementFailed, Warehouse
from tests.batch_jobs.pull.conftest import Yard

HOSTILE = 'x"; drop table y; --'
PLAIN = {"cursor": "c", "keys": ["k"], "overlap": 0}


def test_every_type_comes_exactly(yard: Yard) -> None:
    """Decimals, times and SUPER as text with every digit; numbers and booleans as such; NULL as null."""
    yard.run(
        "create table YARD.t (c int not null, k int not null, si smallint, bi bigint, d decimal(38,18), r real, "
        "f double precision, b boolean, day date, at timestamp, zone timestamptz, clock time, v varchar(200), "
        "ch char(4), s super)",
        "insert into YARD.t values (1, 1, -32768, 9223372036854775807, -12345678901234567890.000000000000000001, 0.5, 0.1, true, "
        "'0001-01-01', '9999-12-31 23:59:59.999999', '2026-03-29 02:30:00.5+02', '23:59:59.000001', "
        "'a\"b''c,\n\r\u2028é\U0001f600\\\\', 'ab', json_parse('{\"n\":1.10,\"t\":\"é\"}'))",
        "insert into YARD.t (c, k) values (2, 2)",
        "insert into YARD.t (c, k, f, r) values (3, 3, 'NaN', '-Infinity'), (4, 4, 'Infinity', 'NaN')",
    )
    answer = yard.respond(yard.definition(t=PLAIN), describe=True)
    first, second, *odd = answer["insert"]["t"]
    assert first == {
        "c": 1, "k": 1, "si": -32768, "bi": 9223372036854775807, "d": "-12345678901234567890.000000000000000001", "r": 0.5,
        "f": 0.1, "b": True, "day": "0001-01-01", "at": "9999-12-31T23:59:59.999999", "zone": "2026-03-29T00:30:00.5Z",
        "clock": "23:59:59.000001", "v": "a\"b'c,\n\r\u2028é\U0001f600\\", "ch": "ab  ", "s": '{"n":1.10,"t":"é"}',
    }  # fmt: skip
    assert dict.fromkeys(first) | {"c": 2, "k": 2} == second
    assert [("NaN", "-Infinity"), ("Infinity", "NaN")] == [(row["f"], row["r"]) for row in odd]
    assert "decimal(38,18)" == answer["columns"]["t"]["d"]
    assert {"t": {"primary_key": ["k"]}} == answer["schema"]
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("text", ["x", "é", "\u2028", "\U0001f600", '"', "\n"])
def test_an_answer_has_at_most_six_megabytes(yard: Yard, text: str) -> None:
    """In bytes, as AWS Lambda counts them, whatever the text; and it is well filled; and nothing is lost."""
    size = 24_000 // len(text.encode())
    yard.run("create table YARD.t (c int not null, k int not null, v varchar(max))")
    for start in range(0, 600, 60):
        rows = ", ".join(f"({k // 7}, {k}, repeat('{text}', {size}))" for k in range(start, start + 60))
        yard.run(f"insert into YARD.t values {rows}")
    answers, _ = yard.drain(yard.definition(t=PLAIN))
    assert list(range(600)) == [row["k"] for answer in answers for row in answer["insert"].get("t", [])]
    sizes = [encoded_size(answer) for answer in answers]
    assert max(sizes) <= ANSWER_BYTES_MAX
    assert min(sizes[:-1]) > 0.98 * ANSWER_BYTES_MAX


def test_a_size_is_what_lambda_sends() -> None:
    """UTF-8 without escapes but for U+2028 and U+2029, which simplejson escapes all the same."""
    assert len('{"a": "é"}'.encode()) == encoded_size({"a": "é"})
    assert len(b'["\\u2028\\u2029"]') == encoded_size(["\u2028\u2029"])


def test_a_row_larger_than_an_answer_is_named_but_not_shown(yard: Yard) -> None:
    """The rows before it are given; then the error says table, key columns, size, column, and how to find the row."""
    yard.run("create table YARD.t (c int not null, k int not null, small varchar(9), s super)")
    yard.run("insert into YARD.t values (1, 1, 'one', null)")
    huge = "concat('\"', concat(repeat('secret-', 1000000), '\"'))"
    yard.run(f"insert into YARD.t values (2, 2, 'two', json_parse({huge})), (3, 3, 'three', null)")
    definition = yard.definition(t=PLAIN)
    answer = yard.respond(definition)
    assert ([1], True) == ([row["k"] for row in answer["insert"]["t"]], answer["hasMore"])
    with pytest.raises(TerminalError, match=rf"a row of {yard.schema}.t \(key: k\) takes 7,000,\d+ bytes") as raised:
        yard.respond(definition, answer["state"])
    assert "secret" not in str(raised.value)
    query = str(raised.value).partition("find it with: ")[2].partition(" limit 1.")[0]
    assert 2 == yard.warehouse.query(query + " limit 1")[0]["k"]


def test_a_result_larger_than_the_data_api_gives_is_read_in_parts(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows are asked for, down to one; a single row that is too large is named."""
    yard.run("create table YARD.t (c int not null, k int not null)")
    yard.run(f"insert into YARD.t values {', '.join(f'({k}, {k})' for k in range(300))}")
    real, asked = Warehouse.pages, []

    def pages(self: Warehouse, sql: str, parameters: Any = None) -> Any:
        asked.append(int(sql.rpartition(" ")[2]))
        if asked[-1] > largest:
            raise StatementFailed("id", 1, "Packet for query is too large")
        return real(self, sql, parameters)

    monkeypatch.setattr(Warehouse, "pages", pages)
    largest = 100
    answers, _ = yard.drain(yard.definition(t=PLAIN))
    assert list(range(300)) == [row["k"] for answer in answers for row in answer["insert"].get("t", [])]
    assert [50_000, 5_000, 500, 50] == asked[:4]
    largest = 0
    with pytest.raises(TerminalError, match="is larger than the Data API gives"):
        yard.respond(yard.definition(t=PLAIN))


def test_marked_rows_are_deletes(yard: Yard) -> None:
    """A row with a time in `_freshet_deleted_at` stands whole in `delete`, and not in `insert`; back alive, it is an insert."""
    yard.run(
        "create table YARD.t (c int not null, k int not null, _freshet_deleted_at timestamp)",
        "insert into YARD.t values (1, 1, null), (2, 2, '2026-01-01 00:00:00')",
    )
    definition = yard.definition(t=PLAIN)
    answer = yard.respond(definition)
    assert [{"c": 1, "k": 1, "_freshet_deleted_at": None}] == answer["insert"]["t"]
    assert [{"c": 2, "k": 2, "_freshet_deleted_at": "2026-01-01T00:00:00"}] == answer["delete"]["t"]
    yard.run("update YARD.t set c = 3, _freshet_deleted_at = null where k = 2")
    answer = yard.respond(definition, answer["state"])
    assert ([2], {}) == ([row["k"] for row in answer["insert"]["t"]], answer["delete"])


def test_a_pipelines_commits_are_a_cursor_in_the_order_of_commits(yard: Yard, place: Place) -> None:
    """A row is given when its commit is, whatever its own times say; a row without a commit is refused."""
    name = f"p{uuid.uuid4().hex[:8]}"
    runs.create(place.warehouse)  # makes the schema freshet
    place.warehouse.run(
        [
            f"create table freshet.{name}_commits (commit_id varchar(36) not null, committed_at timestamp)",
            f"insert into freshet.{name}_commits values ('one', '2026-01-01 00:00:01'), ('two', '2026-01-01 00:00:02')",
        ]
    )
    yard.run(
        "create table YARD.t (k int not null, at timestamp, _freshet_commit varchar(36) not null)",
        "insert into YARD.t values (1, '2030-01-01', 'one'), (2, '2000-01-01', 'two'), (3, '2020-01-01', 'one')",
    )
    definition = yard.definition(t={"cursor": "_freshet_commit", "pipeline": name, "keys": ["k"]})
    answers, state = yard.drain(definition)
    assert [1, 3, 2] == [row["k"] for row in answers[0]["insert"]["t"]]
    place.warehouse.run([f"insert into freshet.{name}_commits values ('three', '2026-01-01 00:00:03')"])
    yard.run("update YARD.t set _freshet_commit = 'three' where k = 1")
    answers, state = yard.drain(definition, state)
    assert [2, 1] == [row["k"] for row in answers[0]["insert"]["t"]]
    yard.run("insert into YARD.t values (4, '2020-01-01', 'lost')")
    with pytest.raises(InputError, match=r"1 rows .* a commit that the ledger does not hold"):
        yard.respond(definition, state)
    with pytest.raises(InputError, match=r"no ledger freshet\.nothing_commits"):
        yard.respond(yard.definition(t={"cursor": "_freshet_commit", "pipeline": "nothing", "keys": ["k"]}))
    place.warehouse.run([f"drop table freshet.{name}_commits"])


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        (HOSTILE, PLAIN | {"as": "x"}, "there is no table"),
        ("missing", PLAIN, "there is no table"),
        ("t", PLAIN | {"cursor": HOSTILE}, "has no column"),
        ("t", PLAIN | {"keys": ["k", HOSTILE]}, "has no column"),
        ("t", PLAIN | {"cursor": "v"}, "cannot be a cursor"),
        ("t", PLAIN | {"cursor": "f"}, "cannot be a cursor"),
        ("t", PLAIN | {"keys": ["f"]}, "cannot be a key"),
        ("t", PLAIN | {"keys": ["b"]}, "cannot be a key"),
        ("t", PLAIN | {"keys": ["s"]}, "cannot be a key"),
        ("t", {"cursor": "c", "keys": ["k"]}, "needs overlap"),
    ],
)
@pytest.mark.parametrize("setup_test", [False, True])
def test_what_the_catalogue_does_not_know_reaches_no_query(
    yard: Yard, name: str, body: Any, message: str, setup_test: bool
) -> None:
    """A name that is not there, hostile or not, gives an error; and nothing happens to the tables."""
    yard.run("create table YARD.t (c int, k int, v varchar(9), f double precision, b boolean, s super)")
    yard.run("create table YARD.y (k int)")
    with pytest.raises(InputError, match=message):
        yard.respond(yard.definition(**{name: body}), setup_test=setup_test)
    assert [{"n": 0}] == yard.rows("select count(*) as n from YARD.y")


def test_hostile_names_that_exist_are_quoted(yard: Yard) -> None:
    """A table and columns of such names are pulled like others."""
    name = HOSTILE.replace('"', '""')
    yard.run(
        f'create table YARD."{name}" ("select" int not null, "{name}" int not null)',
        f'insert into YARD."{name}" values (1, 2)',
    )
    answer = yard.respond(
        yard.definition(**{HOSTILE: {"cursor": "select", "keys": [HOSTILE], "overlap": 0, "as": "odd"}})
    )
    assert [{"select": 1, HOSTILE: 2}] == answer["insert"]["odd"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: {"cursor": "2026-01-01"}, "not one that this function gave"),
        (lambda _: [1], "not one that this function gave"),
        (lambda state: state | {"freshet_pull": 2}, "of version 2"),
        (lambda state: state | {"done": ["t"]}, "changed or cut"),
        (lambda state: state | {"round": state["round"] | {"after": ["1 or 1=1", 0]}}, "changed or cut"),
        (lambda state: {name: value for name, value in state.items() if name != "check"}, "changed or cut"),
    ],
)
def test_a_state_that_is_not_ours_is_refused(yard: Yard, change: Any, message: str) -> None:
    """Edited, cut, of another version or another function: the error says so and how to begin anew."""
    yard.run("create table YARD.t (c int, k int)", "insert into YARD.t values (1, 1), (2, 2)")
    definition = yard.definition(1, t=PLAIN)
    state = yard.respond(definition)["state"]
    with pytest.raises(InputError, match=message) as raised:
        yard.respond(definition, change(state))
    assert "empty state" in str(raised.value)
    with pytest.raises(InputError, match="another table, cursor or key"):
        yard.respond(yard.definition(1, t=PLAIN | {"cursor": "k", "keys": ["c"]}), state)


def test_a_table_may_come_and_go_in_a_definition(yard: Yard) -> None:
    """A new one is read from its beginning, one that is gone is forgotten, the others go on."""
    yard.run("create table YARD.t (c int, k int)", "insert into YARD.t values (1, 1), (2, 2)")
    yard.run("create table YARD.u (c int, k int)", "insert into YARD.u values (7, 7)")
    _, state = yard.drain(yard.definition(t=PLAIN))
    answer = yard.respond(yard.definition(t=PLAIN, u=PLAIN), state)
    assert {"t": [{"c": 2, "k": 2}], "u": [{"c": 7, "k": 7}]} == answer["insert"]
    answer = yard.respond(yard.definition(u=PLAIN), answer["state"])
    assert {"u": [{"c": 7, "k": 7}]} == answer["insert"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "no JSON object"),
        ({"secrets": "x"}, "secrets is no JSON object"),
        ({"secrets": {"pull": "other"}}, "unknown pull"),
        ({"secrets": {"pull": ["yard"]}}, "unknown pull"),
        ({"secrets": {"password": "hunter2"}}, "does not take"),
    ],
)
def test_a_wrong_request_is_told(yard: Yard, request_: Any, message: str) -> None:
    """Without the value that was wrong."""
    with pytest.raises(InputError, match=message) as raised:
        handler_module.respond(request_, {"yard": yard.definition(t=PLAIN)}, yard.warehouse)
    assert "hunter2" not in str(raised.value)


def test_an_empty_table_is_done_at_once(yard: Yard) -> None:
    """Its schema is told, no rows; then rows are found."""
    yard.run("create table YARD.t (c int, k int)")
    definition = yard.definition(t=PLAIN)
    answer = yard.respond(definition)
    assert ({}, {}, False, {"t": {"primary_key": ["k"]}}) == tuple(
        answer[part] for part in ("insert", "delete", "hasMore", "schema")
    )
    yard.run("insert into YARD.t values (1, 1)")
    assert {"t": [{"c": 1, "k": 1}]} == yard.respond(definition, answer["state"])["insert"]


def test_a_set_up_test_tells_all_that_is_wrong(yard: Yard) -> None:
    """Every table is tried; when all is well the answer is one that any puller understands."""
    yard.run(
        "create table YARD.t (c int, k int)",
        "create table YARD.u (c int, k int)",
        "insert into YARD.u values (null, 1)",
    )
    with pytest.raises(InputError) as raised:
        yard.respond(yard.definition(t=PLAIN, u=PLAIN, v=PLAIN), setup_test=True)
    assert all(part in str(raised.value) for part in (f"{yard.schema}.u have NULL", f"no table {yard.schema}.v"))
    answer = yard.respond(yard.definition(t=PLAIN), setup_test=True)
    assert (True, {}, False, {}) == tuple(answer[part] for part in ("success", "insert", "hasMore", "state"))


def test_a_user_without_rights_is_told_so(yard: Yard, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set-up test and a pull name the table and the right."""
    yard.run("create table YARD.t (c int, k int)")
    role = f"nobody_{uuid.uuid4().hex[:8]}"
    place.warehouse.run([f'create user "IAMR:{role}" password disable'])
    client = Place(place.state, place.endpoints)
    monkeypatch.setattr(Place, "environment", place.environment | {"AWS_ACCESS_KEY_ID": role})
    yard.warehouse = client.warehouse
    with pytest.raises(EnvironmentFault, match=f"{yard.schema}.t cannot be read: .*permission denied"):
        yard.respond(yard.definition(t=PLAIN))
    with pytest.raises(InputError, match="permission denied"):
        yard.respond(yard.definition(t=PLAIN), setup_test=True)
    client.close()
    yard.warehouse = place.warehouse


class Context:
    """What AWS Lambda hands in."""

    def __init__(self, *left_s: float) -> None:
        self.left_s = list(left_s)

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self.left_s.pop(0) if len(self.left_s) > 1 else self.left_s[0]))


@pytest.fixture
def lambda_function(yard: Yard, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """The function's environment and definitions, for tables t and u."""
    yard.run("create table YARD.t (c int, k int)", "insert into YARD.t values (1, 1)")
    yard.run("create table YARD.u (c int, k int)", "insert into YARD.u values (2, 2)")
    tables = {f"{yard.schema}.{name}": PLAIN for name in "tu"}
    (tmp_path / "pulls.json").write_text(json.dumps({"yard": {"tables": tables}}))
    monkeypatch.setattr(handler_module, "DEFINITIONS", tmp_path / "pulls.json")
    monkeypatch.setenv("FRESHET_WORKGROUP", place.warehouse.workgroup)
    monkeypatch.setenv("FRESHET_DATABASE", place.warehouse.database)
    monkeypatch.setenv("AWS_ENDPOINT_URL_REDSHIFT_DATA", place.endpoints["redshift"]["endpoint_url"])
    handler_module._warehouse.cache_clear()
    return yard


def test_the_function_answers_and_logs_counts(lambda_function: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """From its environment alone; its one line of log has no value."""
    answer = handler({"agent": "x", "state": {}, "secrets": {}, "sync_id": "a\nb"}, Context(900))
    assert {"t": [{"c": 1, "k": 1}], "u": [{"c": 2, "k": 2}]} == answer["insert"]
    line = json.loads(capsys.readouterr().out)
    assert ("a?b", {"t": 1, "u": 1}, False) == (line["sync_id"], line["rows"], line["more"])
    handler_module._warehouse().client.close()


def test_a_function_that_runs_out_of_time_ends_between_tables(lambda_function: Yard) -> None:
    """It answers what it has and says that there is more."""
    answer = handler({"state": {}, "secrets": {}}, Context(10))
    assert ({"t": [{"c": 1, "k": 1}]}, True) == (answer["insert"], answer["hasMore"])
    answer = handler({"state": answer["state"], "secrets": {}}, Context(900))
    assert ({"u": [{"c": 2, "k": 2}]}, False) == (answer["insert"], answer["hasMore"])
    handler_module._warehouse().client.close()


@pytest.mark.parametrize("name", ["FRESHET_WORKGROUP", "FRESHET_DATABASE"])
def test_a_function_without_its_environment_says_what_is_missing(
    lambda_function: Yard, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By the name of the variable."""
    monkeypatch.delenv(name)
    with pytest.raises(EnvironmentFault, match=name):
        handler({"state": {}, "secrets": {}}, Context(900))


@pytest.mark.parametrize("content", [None, "{}", "[]", "no JSON"])
def test_a_function_without_definitions_says_so(lambda_function: Yard, tmp_path: Path, content: str | None) -> None:
    """A missing file as an empty or broken one."""
    (tmp_path / "pulls.json").unlink()
    if content is not None:
        (tmp_path / "pulls.json").write_text(content)
    with pytest.raises(EnvironmentFault, match=r"pulls\.json"):
        handler({"state": {}, "secrets": {}}, Context(900))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "names no tables"),
        ({"tables": {"t": PLAIN}}, "write t as schema.table"),
        ({"tables": {"s.t": PLAIN | {"key": 1}}}, "says key, which is not known"),
        ({"tables": {"s.t": {"cursor": "c"}}}, "keys is the list"),
        ({"tables": {"s.t": PLAIN | {"keys": ["k", "k"]}}}, "twice"),
        ({"tables": {"s.t": PLAIN | {"overlap": "soon"}}}, "overlap is a time"),
        ({"tables": {"s.t": PLAIN | {"cursor": "_freshet_commit"}}}, "go together"),
        ({"tables": {"s.t": PLAIN | {"pipeline": "p"}}}, "go together"),
        ({"tables": {"s.t": PLAIN, "r.t": PLAIN}}, "two tables would be called t"),
        ({"tables": {"s.t;": PLAIN}}, "choose one with as"),
        ({"tables": {"s.t": PLAIN}, "rows": 0}, "from 1 to"),
        ({"tables": {"s.t": PLAIN}, "rows": True}, "from 1 to"),
        ({"tables": {"s.t": PLAIN | {"cursor": "a\0"}}}, "no name in Redshift"),
    ],
)
def test_a_wrong_definition_is_told_with_its_place(content: Any, message: str) -> None:
    """Before anything is asked of the warehouse."""
    with pytest.raises(InputError, match=message):
        read_definition("yard", content)


class Lambda:
    """A client that answers once."""

    def __init__(self, payload: bytes, error: str | None = None) -> None:
        self.answer = {"Payload": io.BytesIO(payload), **({"FunctionError": error} if error else {})}

    def invoke(self, **_: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("payload", "error", "kind", "message"),
    [
        (b'{"errorType": "InputError", "errorMessage": "no table s.t"}', "Unhandled", InputError, "no table s.t"),
        (
            b'{"errorType": "KeyError", "errorMessage": "jane@example.com"}',
            "Unhandled",
            FreshetError,
            r"failed \(KeyError\)",
        ),
        (b"null", None, InputError, "no JSON object"),
        (b"Task timed out", "Unhandled", FreshetError, "unknown"),
    ],
)
def test_what_the_function_raised_is_raised_here(
    payload: bytes, error: str | None, kind: type[Exception], message: str
) -> None:
    """Our own errors with their words, others by their kind alone."""
    with pytest.raises(kind, match=message) as raised:
        on_lambda(Lambda(payload, error), "f")({})
    assert "jane" not in str(raised.value)


def test_the_function_needs_nothing_but_boto3() -> None:
    """What the handler imports is in AWS Lambda's Python: the standard library, boto3, and this repository."""
    import subprocess
    import sys

    code = (
        "import sys; sys.modules.update(dict.fromkeys(['yaml', 'pydantic', 'pyarrow', 'sqlglot', 'typer', 'rich', 'pyspark']));"
        "import batch_jobs.pull.handler"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert "" == run.stderr
    assert Path(answer_module.__file__).is_file()
