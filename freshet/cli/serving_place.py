"""What is deployed so that tables can be handed out: the definitions below sql/exports/ and sql/pulls/ of the current folder.

Reads:  the definitions, and checks them.
Gives:  files by their place in the bucket, tables of DynamoDB that a role must know, the definitions of the function.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from batch_jobs.export_dynamodb import definition as exports
from batch_jobs.pull.definition import Definition, read_definition
from freshet.errors import InputError

PULLS: Final = Path("sql/pulls")
PARAMETER_BYTES_MAX: Final = 4096  # of a value, says CloudFormation


def export_definitions(root: Path = exports.EXPORTS) -> list[exports.Definition]:
    """Read all exports of the current folder.

    Raises:
        DefinitionError: One of them is wrong.
    """
    return [exports.load_definition(path.parent) for path in sorted(root.glob(f"*/{exports.YAML_FILE}"))]


def export_files(root: Path = exports.EXPORTS) -> dict[str, Path]:
    """Give the files that the job reads, by their place below the deployment's prefix."""
    names = (exports.YAML_FILE, exports.SELECT_FILE)
    folders = [path.parent for path in sorted(root.glob(f"*/{exports.YAML_FILE}"))]
    there = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    return {f"exports/{path.parent.name}/{path.name}": path for path in there}


def table_arns(definitions: Sequence[exports.Definition], partition: str, region: str, account: str) -> str:
    """Name the tables that the exports write, for the job's role.

    Raises:
        InputError: They are more than one parameter of a stack holds.
    """
    tables = sorted({definition.table for definition in definitions})
    text = ",".join(f"arn:{partition}:dynamodb:{region}:{account}:table/{table}" for table in tables)
    if len(text) > PARAMETER_BYTES_MAX:
        raise InputError(
            f"{exports.EXPORTS}/: the ARNs of {len(tables)} DynamoDB tables have {len(text):,} bytes, and a stack's parameter "
            f"holds {PARAMETER_BYTES_MAX:,}: deploy some of the exports with another stack"
        )
    return text


def read_pull(path: Path) -> tuple[Definition, Any]:
    """Read a definition's file; give the definition, and the content as the function takes it.

    Raises:
        InputError: It cannot be read, or is no definition.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{path}{f':{mark.line + 1}' if mark else ''}: this is no YAML") from None
    return read_definition(path.stem, content), content


def pull_definitions(root: Path = PULLS) -> dict[str, Any]:
    """Give the content of every pull of the current folder, by name, checked.

    Raises:
        InputError: One of them is wrong.
    """
    return {path.stem: read_pull(path)[1] for path in sorted(root.glob("*.yaml"))}
