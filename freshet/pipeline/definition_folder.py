"""The folder of a definition - of a pipeline, a load, an export - found, and its YAML file read with the place of each entry."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from freshet.errors import DefinitionError, InputError
from freshet.pipeline.problems import Place, Problems, did_you_mean

EntryPath = tuple[str | int, ...]
Explain = Callable[[str, str, EntryPath], str]
Model = TypeVar("Model", bound=BaseModel)


def find_folder(kind: str, name_or_path: str | Path, root: Path, files: Sequence[str]) -> Path:
    """Find a definition's folder by a path, or by its name below `root`.

    Args:
        kind: What it is called: pipeline, load, export.
        name_or_path: What somebody typed.
        root: Where such folders lie.
        files: One of them makes a folder a definition; the first is the YAML file.

    Raises:
        InputError: There is none; the message names those that there are.
    """
    for folder in (Path(name_or_path), root / name_or_path):
        if any((folder / file).is_file() for file in files):
            return folder
    known = sorted(found.parent.name for found in root.glob(f"*/{files[0]}"))
    hint = did_you_mean(str(name_or_path), known)
    there_are = hint or (f"; there are {', '.join(known)}" if known else f"; {root} holds none")
    raise InputError(f"there is no {kind} {name_or_path}{there_are}")


def read_file(folder: Path, file: str) -> str:
    """Read a file of the folder.

    Raises:
        DefinitionError: It is missing, or not UTF-8.
    """
    try:
        return (folder / file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DefinitionError(f"the file is missing in {folder}", file) from None
    except UnicodeDecodeError:
        raise DefinitionError("the file is not UTF-8", file) from None


def read_entries(
    text: str, file: str, model: type[Model], example: str, explain: Explain
) -> tuple[Model, dict[EntryPath, Place]]:
    """Read a YAML file into its model, and find the place of each entry.

    Args:
        text: The file's content.
        file: Its name, for messages.
        model: What it must fit.
        example: An entry to show to somebody who wrote none.
        explain: Gives the message for a fault of pydantic's: its type, its message, where it is.

    Raises:
        DefinitionError: A mistake, with its place; DefinitionErrors for several.
    """
    problems = Problems()
    places: dict[EntryPath, Place] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise DefinitionError(f"write entries like `{example}`", file, 1, 1)
        _locate(root, (), file, places, problems)
        problems.raise_if_any()
        return model.model_validate(yaml.safe_load(text)), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise DefinitionError(f"this is not YAML: {error.problem}", file, line, column) from None
    except yaml.YAMLError:
        raise DefinitionError("this is not YAML: it holds a character that YAML has not", file) from None
    except RecursionError:
        raise DefinitionError("an entry holds itself", file) from None
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            at = fault["loc"]
            known = (places[at[:end]] for end in range(len(at), -1, -1) if at[:end] in places)
            problems.add(explain(fault["type"], fault["msg"], at), next(known, Place(file)))
        problems.raise_if_any()
        raise


def _locate(node: Any, at: EntryPath, file: str, places: dict[EntryPath, Place], problems: Problems) -> None:
    places.setdefault(at, Place(file, node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _locate(value, (*at, index), file, places, problems)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = Place(file, key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode):
                problems.add("an entry's name is one word", here)
                continue
            if (*at, key.value) in places:
                problems.add(f"{key.value} stands here twice", here)
            places[(*at, key.value)] = here
            _locate(value, (*at, key.value), file, places, problems)
