"""Read sql/source.yaml: what the job may ask of the source, for all its pipelines together.

Reads:  `rows_per_s`, `connections`; a file that is missing says nothing.
Gives:  the caps, or every mistake with its place.
"""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from freshet.pipeline.definition import PIPELINES
from freshet.pipeline.definition_folder import EntryPath, read_entries, read_file
from freshet.pipeline.problems import did_you_mean

SOURCE_FILE: Final = "source.yaml"


class SourceCaps(BaseModel):
    """What the source is asked at most.

    Attributes:
        rows_per_s: Rows of pending work (sweeps, walks, repairs) in a second; rows that just changed are not counted.
        connections: Connections that read rows at once, beside the one of the driver.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_per_s: float = Field(default=5_000, ge=1)
    connections: int = Field(default=4, ge=1, le=64)


def read_source_caps(folder: Path = PIPELINES.parent) -> SourceCaps:
    """Read the caps.

    Args:
        folder: Where source.yaml lies.

    Raises:
        DefinitionError: A mistake, with its place.
    """
    if not (folder / SOURCE_FILE).is_file():
        return SourceCaps()
    caps, _ = read_entries(read_file(folder, SOURCE_FILE), SOURCE_FILE, SourceCaps, "rows_per_s: 5000", _explain)
    return caps


def _explain(kind: str, message: str, at: EntryPath) -> str:
    name = str(at[0]) if at else ""
    if kind == "extra_forbidden":
        return f"there is no entry {name}{did_you_mean(name, SourceCaps.model_fields)}"
    return f"{name}: {message[:1].lower()}{message[1:]}"
