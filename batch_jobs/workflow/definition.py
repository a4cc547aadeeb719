"""Read a workflow's folder and check all that can be checked before anything runs.

A workflow is `sql/workflows/NAME/`: `workflow.yaml` and the `.sql` files that it names. Its three lists run one after the other,
each item after the one before it.

Reads:  the folder's files, from disk or from where a deployment put them.
Gives:  a Workflow; or a DefinitionError with file and line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from batch_jobs.run_sql.modes import MODES, check_mode
from batch_jobs.run_sql.statements import WrongFile, check_name, statements_of
from freshet.errors import DefinitionError

YAML_FILE: Final = "workflow.yaml"
STAGES: Final = ("load", "transform", "unload")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
FILE_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,120}\.sql")
REFERENCE: Final = re.compile(r"\{([^{}]*)\}")
# What a value may name beside the workflow's own parameters; known when it is run.
GIVEN: Final = ("data", "role", "today", "yesterday")
ITEMS_MAX: Final = 200
Read = Callable[[str], bytes | None]


class Item(BaseModel):
    """One thing to do: a load by its name, or a file of SQL."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    load: str | None = None
    file: str | None = None
    parameters: dict[str, str] = {}
    mode: Literal["transaction", "each"] = "transaction"

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.load is None) == (self.file is None):
            raise ValueError("an item is either `load: NAME` or `file: NAME.sql`")
        if self.load is not None and self.model_fields_set - {"load"}:
            raise ValueError("parameters and mode belong to a file, a load has none")
        if self.load is not None and not NAME.fullmatch(self.load):
            raise ValueError(f"{self.load!r} cannot be the name of a load")
        if self.file is not None and not FILE_NAME.fullmatch(self.file):
            raise ValueError(f"{self.file!r} is not the name of a .sql file beside {YAML_FILE}")
        return self

    @property
    def name(self) -> str:
        """What it is called where runs are told."""
        return self.load or self.file or ""


class _Yaml(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    description: str = Field(min_length=1)
    parameters: dict[str, str | None] = {}
    load: list[Item] = Field([], max_length=ITEMS_MAX)
    transform: list[Item] = Field([], max_length=ITEMS_MAX)
    unload: list[Item] = Field([], max_length=ITEMS_MAX)

    @field_validator("load")
    @classmethod
    def _loads_only(cls, items: list[Item]) -> list[Item]:
        if any(item.load is None for item in items):
            raise ValueError("an item of `load` is `load: NAME`; a file of SQL belongs to transform or unload")
        return items

    @field_validator("transform", "unload")
    @classmethod
    def _files_only(cls, items: list[Item]) -> list[Item]:
        if any(item.file is None for item in items):
            raise ValueError("an item of transform and unload is `file: NAME.sql`; a load belongs to `load`")
        return items


@dataclass(frozen=True)
class Workflow:
    """What a workflow's folder says.

    Attributes:
        name: Of the folder.
        description: One sentence.
        parameters: Values by name, None for one that each run must be given; a value may name others in braces.
        stages: The items of load, transform and unload.
        uses: By file, the names of the parameters in its statements.
    """

    name: str
    description: str
    parameters: Mapping[str, str | None]
    stages: Mapping[str, tuple[Item, ...]]
    uses: Mapping[str, tuple[str, ...]]

    @property
    def files(self) -> tuple[str, ...]:
        """The .sql files, each once."""
        return tuple(self.uses)


def read_workflow(name: str, read: Read) -> Workflow:
    """Read a workflow.

    Args:
        name: Of the folder.
        read: Gives the content of a file of the folder, None when there is none.

    Raises:
        DefinitionError: Says file, line if there is one, and what is wrong.
    """
    if not NAME.fullmatch(name):
        raise DefinitionError(
            f"{name!r} cannot be the name of a workflow: lower-case letters, digits and _, a letter first", YAML_FILE
        )
    content = read(YAML_FILE)
    if content is None:
        raise DefinitionError(f"the folder of {name} has no such file", YAML_FILE)
    told = _checked(content)
    stages = {"load": tuple(told.load), "transform": tuple(told.transform), "unload": tuple(told.unload)}
    if not any(stages.values()):
        raise DefinitionError("load, transform and unload are all empty: there is nothing to run", YAML_FILE)
    for each in (name for name in told.parameters if name in GIVEN):
        raise DefinitionError(
            f"parameters.{each}: {{{each}}} is given to every workflow, choose another name", YAML_FILE
        )
    items = [item for items in stages.values() for item in items]
    uses = {item.file: _parameters_of(item.file, item.mode, read) for item in items if item.file}
    workflow = Workflow(name, told.description, told.parameters, stages, uses)
    _check_values(workflow)
    return workflow


def _checked(content: bytes) -> _Yaml:
    try:
        entries: Any = yaml.safe_load(content.decode("utf-8"))
        return _Yaml.model_validate(entries)
    except UnicodeDecodeError:
        raise DefinitionError("this is not UTF-8", YAML_FILE) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise DefinitionError("this is not YAML", YAML_FILE, mark.line + 1 if mark else None) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_type":
            message = "must be a text; put it between quotes"
        raise DefinitionError(f"{where}: {message}", YAML_FILE) from None


def _parameters_of(file: str, mode: str, read: Read) -> tuple[str, ...]:
    content = read(file)
    if content is None:
        raise DefinitionError(f"names the file {file}, which is not in the folder", YAML_FILE)
    try:
        statements = statements_of(content.decode("utf-8-sig"))
        check_mode(statements, MODES[mode])
    except UnicodeDecodeError:
        raise DefinitionError("this is not UTF-8", file) from None
    except WrongFile as error:
        raise DefinitionError(str(error), file, error.line) from None
    return tuple(dict.fromkeys(name for statement in statements for name in statement.parameters))


def _check_values(workflow: Workflow) -> None:
    """See that each parameter of a file has a value, and each value's references lead somewhere."""
    known = [*GIVEN]
    for name, value in workflow.parameters.items():
        _check_value(f"parameters.{name}", name, value or "", known)
        known.append(name)  # a value names those above it, so nothing goes in a circle
    for stage, items in workflow.stages.items():
        for place, item in enumerate(items):
            where = f"{stage}.{place}"
            for name, value in item.parameters.items():
                _check_value(f"{where}.parameters.{name}", name, value, known)
                if name not in workflow.uses[item.name]:
                    raise DefinitionError(f"{where}.parameters.{name}: no statement of {item.name} uses it", YAML_FILE)
            for name in workflow.uses.get(item.name, ()):
                if name not in item.parameters and name not in workflow.parameters and name not in GIVEN:
                    raise DefinitionError(f"{where}: no value is given for :{name} of {item.name}", YAML_FILE)


def _check_value(where: str, name: str, value: str, known: list[str]) -> None:
    try:
        check_name(name)
    except WrongFile as error:
        raise DefinitionError(f"{where}: {error}", YAML_FILE) from None
    for reference in REFERENCE.findall(value):
        if reference not in known:
            raise DefinitionError(f"{where}: {{{reference}}} is none of {', '.join(sorted(known))}", YAML_FILE)
