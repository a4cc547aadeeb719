"""What a DMS task is told: the template that is deployed, or a JSON file in DMS's own format.

By default the stand-in obeys the very task of cloudformation/capture.yaml, so that what is tested is what is deployed.

Reads:  {"MigrationType", "KinesisSettings", "TaskSettings", "TableMappings"}, with DMS's keys and defaults.
Gives:  the settings that this stand-in honors; what it does not know it ignores, as sandbox/README.md lists.

Source: DMS user guide, "Using Kinesis as a target", "Before image task settings", "Error handling task settings", "Control
table task settings", "Selection rules", "Object mapping", "Transformation rules and actions".
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.dms.errors import TaskError

DEFAULT_FILE = Path(__file__).parents[2] / "cloudformation" / "capture.yaml"
ENDPOINT, TASK = "KinesisEndpoint", "ReplicationTask"
# The stack's parameters name one database; the sandbox follows every one.
EVERYTHING = {"${SourceDatabase}": "%", "${SourceTables}": "%"}
# DMS never reads these: they hold the server's own state.
SYSTEM_SCHEMAS = {"mysql", "information_schema", "performance_schema", "sys"}
KEY_TYPES = {"primary-key", "schema-table"}
INTEGER_TYPES = {"int8", "uint8"}
STOP_TASK, SUSPEND_TABLE, LOG_ERROR, IGNORE_RECORD = "STOP_TASK", "SUSPEND_TABLE", "LOG_ERROR", "IGNORE_RECORD"
OF_A_RECORD = frozenset({STOP_TASK, SUSPEND_TABLE, LOG_ERROR, IGNORE_RECORD})
# The error policies that are honored here: DMS's default, and what each may say.
POLICIES = {
    "DataErrorPolicy": (LOG_ERROR, OF_A_RECORD),
    "ApplyErrorInsertPolicy": (LOG_ERROR, OF_A_RECORD),
    "ApplyErrorUpdatePolicy": (LOG_ERROR, OF_A_RECORD),
    "ApplyErrorDeletePolicy": (IGNORE_RECORD, OF_A_RECORD),
    "TableErrorPolicy": (SUSPEND_TABLE, frozenset({STOP_TASK, SUSPEND_TABLE})),
}
Rule = tuple[str, Callable[[str, str], bool]]
TextRule = tuple[str, Callable[[str, str], bool], re.Pattern[str]]


@dataclass(frozen=True)
class Settings:
    """One task's settings; the names are DMS's, in Python's spelling."""

    full_load: bool
    pretty: bool
    partition_value: bool
    partition_schema_table: bool
    control_details: bool
    null_and_empty: bool
    hex_prefix: bool
    large_integers: bool
    before_image: str | None
    before_image_filter: str
    policies: Mapping[str, str]
    control_schema: str
    lists_suspended: bool
    selection: tuple[Rule, ...]
    keys: tuple[Rule, ...]
    texts: tuple[TextRule, ...]

    def selects(self, schema: str, table: str) -> bool:
        """Tell whether the selection rules take a table: some rule includes it and none excludes it."""
        if schema.lower() in SYSTEM_SCHEMAS:
            return False
        actions = {action for action, matches in self.selection if matches(schema, table)}
        return "include" in actions and "exclude" not in actions

    def partition_key_type(self, schema: str, table: str) -> str:
        """Say what the partition key of a table's records is made of."""
        for key_type, matches in self.keys:
            if matches(schema, table):
                return key_type
        return "schema-table"

    def is_text(self, schema: str, table: str, column: str, data_type: str) -> bool:
        """Tell whether a transformation rule turns an integer column, of DMS's type int8 or uint8, into text."""
        return any(
            kind == data_type and matches(schema, table) and name.fullmatch(column)
            for kind, matches, name in self.texts
        )


def load(path: Path | None = None) -> Settings:
    """Read a task's file.

    Raises:
        TaskError: The file is missing, is no JSON, or asks for what this stand-in cannot do.
    """
    file = path or DEFAULT_FILE
    try:
        return parse(of_template(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_bytes()))
    except OSError as error:
        raise TaskError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"{file}: not the settings of a DMS task ({error!r})") from None


def of_template(text: str) -> dict[str, Any]:
    """Take a task's settings out of a CloudFormation template."""
    resources = yaml.load(text, _Loader)["Resources"]  # noqa: S506 - a SafeLoader
    task = resources[TASK]["Properties"]

    def written(name: str) -> Any:
        content = task[name]
        for parameter, value in EVERYTHING.items():
            content = content.replace(parameter, value)
        return json.loads(content)

    return {
        "MigrationType": task["MigrationType"],
        "KinesisSettings": resources[ENDPOINT]["Properties"]["KinesisSettings"],
        "TaskSettings": written("ReplicationTaskSettings"),
        "TableMappings": written("TableMappings"),
    }


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags, and keeps of them what they stand before."""


def _without_tag(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there are three kinds
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _without_tag)


def parse(task: dict[str, Any]) -> Settings:
    """Read a task's settings from DMS's JSON."""
    kinesis: dict[str, Any] = task.get("KinesisSettings", {})
    settings: dict[str, Any] = task.get("TaskSettings", {})
    before = settings.get("BeforeImageSettings") or {}
    control = settings.get("ControlTablesSettings") or {}
    rules = task["TableMappings"]["rules"]
    message_format = kinesis.get("MessageFormat", "json").lower().replace("_", "-")
    if message_format not in {"json", "json-unformatted"}:
        raise TaskError(f"MessageFormat {message_format} is not known: json or json-unformatted")
    keys = [rule for rule in rules if rule["rule-type"] == "object-mapping"]
    key_types = [rule.get("mapping-parameters", {}).get("partition-key-type", "schema-table") for rule in keys]
    if unknown := set(key_types) - KEY_TYPES:
        raise TaskError(f"partition-key-type {', '.join(unknown)} is not known here: {', '.join(sorted(KEY_TYPES))}")
    selection = [rule for rule in rules if rule["rule-type"] == "selection"]
    return Settings(
        full_load="full-load" in task.get("MigrationType", "cdc"),
        pretty=message_format == "json",
        partition_value=kinesis.get("IncludePartitionValue", False),
        partition_schema_table=kinesis.get("PartitionIncludeSchemaTable", False),
        control_details=kinesis.get("IncludeControlDetails", False),
        null_and_empty=kinesis.get("IncludeNullAndEmpty", False),
        hex_prefix=not kinesis.get("NoHexPrefix", False),
        large_integers=kinesis.get("UseLargeIntegerValue", False),
        before_image=before["FieldName"] if before.get("EnableBeforeImage") else None,
        before_image_filter=before.get("ColumnFilter", "pk-only"),
        policies=_policies(settings.get("ErrorBehavior") or {}),
        control_schema=control.get("ControlSchema") or "",
        lists_suspended=control.get("SuspendedTablesTableEnabled", False),
        selection=tuple((rule["rule-action"], _matcher(rule)) for rule in selection),
        keys=tuple(zip(key_types, map(_matcher, keys), strict=True)),
        texts=tuple(map(_text_rule, (rule for rule in rules if rule["rule-type"] == "transformation"))),
    )


def _policies(behavior: dict[str, Any]) -> dict[str, str]:
    """Read what shall be done about each error; what is left out is DMS's default."""
    chosen = {name: behavior.get(name) or default for name, (default, _) in POLICIES.items()}
    for name, (_, allowed) in POLICIES.items():
        if chosen[name] not in allowed:
            raise TaskError(f"{name} {chosen[name]} is not known here: {', '.join(sorted(allowed))}")
    return chosen


def _text_rule(rule: dict[str, Any]) -> TextRule:
    """Read a change-data-type rule, the one transformation that is known here."""
    locator, kind = rule["object-locator"], rule["object-locator"].get("data-type")
    known = (rule["rule-action"], rule["rule-target"]) == ("change-data-type", "column")
    if not known or kind not in INTEGER_TYPES or rule["data-type"]["type"] != "string":
        raise TaskError(
            f"transformation rule {rule['rule-id']}: known here is change-data-type of columns of type int8 or uint8 to string"
        )
    return kind, _matcher(rule), _pattern(locator["column-name"])


def _matcher(rule: dict[str, Any]) -> Callable[[str, str], bool]:
    """Match a rule's object-locator, in which % stands for any text."""
    locator = rule["object-locator"]
    schema, table = (_pattern(locator[name]) for name in ("schema-name", "table-name"))
    return lambda schema_name, table_name: bool(schema.fullmatch(schema_name) and table.fullmatch(table_name))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("%")), re.DOTALL)
