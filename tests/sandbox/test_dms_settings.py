"""A DMS task does what its file says, in DMS's own words.

Documents: DMS user guide, "Kinesis settings", "Selection rules and actions", "Object mapping".
"""

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.dms import settings
from sandbox.dms.errors import TaskError
from sandbox.dms.records import Writer
from sandbox.dms.tables import Table
from sandbox.dms.values import hexadecimal, integer

TABLE = Table("shop", "sale", (), ((0, "id"), (1, "note"), (2, "more")), ((0, "id"),), "primary-key")


def task(kinesis: dict[str, Any] | None = None, rules: list[dict[str, Any]] | None = None) -> settings.Settings:
    written = settings.of_template(settings.DEFAULT_FILE.read_text())
    written["KinesisSettings"] |= kinesis or {}
    written["TableMappings"]["rules"] += rules or []
    return settings.parse(written)


def written(kinesis: dict[str, Any] | None = None) -> tuple[str, str]:
    writer = Writer(task(kinesis), "TASK")
    (record,) = writer.changes(TABLE, "insert", [[1, "", None]], 7)
    return record


def test_the_default_task_has_what_the_product_demands() -> None:
    """Changes only, one line a record, NULLs, a before image of the key, the primary key as partition key."""
    default = task()
    assert not default.full_load
    assert default.null_and_empty
    assert default.before_image == "before-image"
    assert default.partition_key_type("any", "table") == "primary-key"


def test_null_and_empty_are_dropped_unless_asked_for() -> None:
    """DMS's default loses what a NULL says (IncludeNullAndEmpty)."""
    assert json.loads(written({"IncludeNullAndEmpty": False})[0])["data"] == {"id": 1}
    assert json.loads(written()[0])["data"] == {"id": 1, "note": "", "more": None}


def test_of_its_transaction_a_record_has_the_id_alone() -> None:
    """Only IncludeTransactionDetails would add more; the id is always there (record samples)."""
    metadata = json.loads(written()[0])["metadata"]
    assert [name for name in metadata if "transaction" in name or "commit" in name] == ["transaction-id"]


def test_the_format_is_one_line_or_many() -> None:
    """MessageFormat json is indented by tabs."""
    assert "\n" not in written()[0]
    assert written({"MessageFormat": "json"})[0].startswith('{\n\t"data"')


def test_the_partition_key_may_leave_out_the_table() -> None:
    """PartitionIncludeSchemaTable."""
    assert (written()[1], written({"PartitionIncludeSchemaTable": False})[1]) == ("shop.sale.1", "1")


def test_numbers_and_bytes() -> None:
    """More than 16 digits, with UseLargeIntegerValue 18, are lost in a double; NoHexPrefix drops the 0x."""
    large, plain = task({"UseLargeIntegerValue": True}), task({"NoHexPrefix": True})
    assert [10**18 - 1, 1e18] == [integer(10**18 - 1, large), integer(10**18, large)]
    assert [10**16 - 1, 1e17] == [integer(10**16 - 1, plain), integer(10**17, plain)]
    assert (hexadecimal(b"\xab", large), hexadecimal(b"\xab", plain)) == ("0xab", "ab")


def test_big_integers_are_text_where_a_rule_says_so() -> None:
    """The deployed task sends every BIGINT as text, and no smaller integer (transformation rule change-data-type)."""
    assert task().is_text("any", "table", "column", "int8")
    assert task().is_text("any", "table", "column", "uint8")
    assert not task().is_text("any", "table", "column", "int4")


@pytest.mark.parametrize(
    "change", [{"rule-action": "rename"}, {"rule-target": "table"}, {"data-type": {"type": "float8"}}]
)
def test_a_rule_that_is_not_known_here_is_refused(change: dict[str, Any]) -> None:
    """Better no sandbox than one that quietly does something else than DMS."""
    locator = {"schema-name": "%", "table-name": "%", "column-name": "%", "data-type": "int8"}
    rule = {"rule-type": "transformation", "rule-id": "9", "rule-target": "column", "rule-action": "change-data-type",
            "object-locator": locator, "data-type": {"type": "string"}}  # fmt: skip
    with pytest.raises(TaskError, match="rule 9"):
        task(rules=[rule | change])


def test_selection_rules_include_and_exclude() -> None:
    """% stands for any text; an exclude wins; the system's schemas are never selected."""

    def rule(action: str, schema: str, table: str) -> dict[str, Any]:
        locator = {"schema-name": schema, "table-name": table}
        return {"rule-type": "selection", "rule-action": action, "object-locator": locator}

    chosen = settings.parse(
        {"TableMappings": {"rules": [rule("include", "shop", "sale%"), rule("exclude", "%", "sale_old%")]}}
    )
    selected = [("shop", "sale"), ("shop", "sale_2024")]
    others = [("shop", "sale_old_1"), ("shop", "x_sale"), ("shop2", "sale"), ("mysql", "user")]
    assert [True] * 2 + [False] * 4 == [chosen.selects(*table) for table in selected + others]
    assert not task().selects("mysql", "user")


@pytest.mark.parametrize("text", ["{}", "no json", '{"TableMappings": {"rules": [{}]}}'])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    file = tmp_path / "task.json"
    file.write_text(text)
    with pytest.raises(TaskError, match=r"task\.json"):
        settings.load(file)
