"""What `freshet.yaml` in the current folder says of AWS, so that nobody types it twice.

aws:
  stack: shop                    # name of the CloudFormation stack; `freshet` when left out
  region: eu-central-1           # else AWS_REGION, AWS_DEFAULT_REGION or the profile's
  profile: production            # of ~/.aws/config
  parameters: {ShardCount: 4}    # of the stack, as with --set
"""

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from freshet.errors import InputError

FILE = "freshet.yaml"
STACK = "freshet"
# Role and database names hold the stack's name and the region; the longest of them has 64 characters.
STACK_NAME = re.compile(r"[a-z](?:-?[a-z0-9]){0,26}")


def _text(value: object) -> object:
    """YAML reads `4` and `true` as number and truth; CloudFormation wants their text."""
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else value


class AwsSettings(BaseModel):
    """Which stack, where, and its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str = STACK
    region: str | None = None
    profile: str | None = None
    parameters: dict[str, Annotated[str, BeforeValidator(_text)]] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    aws: AwsSettings = AwsSettings()


def read_settings(folder: Path, stack: str | None = None) -> AwsSettings:
    """Read the `aws` part of a folder's freshet.yaml; a folder without one has the defaults.

    Args:
        folder: Where freshet.yaml may lie.
        stack: Name of the stack that the command was told; it goes before the file's.

    Raises:
        InputError: It cannot be read, or says something unknown; names file and field.
    """
    file = folder / FILE
    content: object = {}
    if file.exists():
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{FILE} cannot be read ({type(error).__name__})") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise InputError(f"{FILE}:{mark.line + 1 if mark else 1}: this is not YAML") from None
    try:
        settings = _File.model_validate(content).aws
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{FILE}: {field}: {first['msg']}") from None
    name = stack or settings.stack
    if not STACK_NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a stack here: 1 to 27 lower-case letters, digits and single hyphens, a letter first"
        )
    return settings.model_copy(update={"stack": name})


def read_assignments(assignments: list[str]) -> dict[str, str]:
    """Read `Name=Value` pairs of --set.

    Raises:
        InputError: One is none, or a name is set twice.
    """
    found: dict[str, str] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise InputError(f"--set {each}: write Name=Value")
        if name in found:
            raise InputError(f"--set {name}: is set twice")
        found[name] = value
    return found
