"""What the Python shell jobs import, as one zip that their script fetches: they need no pip, and so no way to an index.

And the code of the function for pullers, which AWS Lambda unpacks itself.

Reads:  the simulators, the bootstrap program and the batch jobs of the clone, and pure-Python wheels, boto3's among them:
        Glue's own is of 2022, and knows no Redshift Serverless.
Gives:  a zip whose root belongs on sys.path; of the same content always the same bytes.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TIME = (2020, 1, 1, 0, 0, 0)
LEFT_OUT = ("constraints.txt", "pyproject.toml", "ruff.toml", "README.md")
BOOTSTRAP = Path("cloudformation/bootstrap.py")
# What the batch jobs and the bootstrap program import of Freshet; all of it runs on Python 3.9.
SHARED = ("__init__", "errors", "glue_arguments", "unsent", "words", "redshift/__init__", "redshift/catalogue",
          "redshift/data_api", "redshift/literals", "redshift/runs")  # fmt: skip
# What the function for pullers is made of; the puller itself, which writes Parquet, stays here.
PULL_MODULES = (
    "__init__.py",
    "answer.py",
    "catalogue.py",
    "cursors.py",
    "definition.py",
    "handler.py",
    "paging.py",
    "state.py",
)
PULL_SHARED = ("__init__", "errors", "unsent", "redshift/__init__", "redshift/catalogue", "redshift/data_api",
               "redshift/literals")  # fmt: skip


def shell_bundle(root: Path, wheels: Sequence[Path], out: Path) -> Path:
    """Write the zip.

    Args:
        root: The clone.
        wheels: Pure-Python wheels of what the programs import.
        out: The file to write.
    """
    content = dict(_own(root / "simulators")) | {BOOTSTRAP.name: (root / BOOTSTRAP).read_bytes()}
    content |= {f"batch_jobs/{name}": code for name, code in _own(root / "batch_jobs")}
    content |= _shared(root, SHARED)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            content |= {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}
    return _written(content, out)


def pull_code(root: Path, pulls: Mapping[str, Any], out: Path) -> Path:
    """Write the code of the function for pullers; boto3 is Lambda's own.

    Args:
        root: The clone.
        pulls: What may be pulled: definitions by name, checked.
        out: The file to write.
    """
    content = {"batch_jobs/__init__.py": (root / "batch_jobs/__init__.py").read_bytes()}
    content |= {
        f"batch_jobs/pull/{name}": code for name, code in _own(root / "batch_jobs/pull") if name in PULL_MODULES
    }
    content["batch_jobs/pull/pulls.json"] = json.dumps(pulls, sort_keys=True).encode()
    return _written(content | _shared(root, PULL_SHARED), out)


def _shared(root: Path, names: Sequence[str]) -> dict[str, bytes]:
    return {f"freshet/{name}.py": (root / "freshet" / f"{name}.py").read_bytes() for name in names}


def _written(content: Mapping[str, bytes], out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in sorted(content):
            bundle.writestr(zipfile.ZipInfo(name, TIME), content[name], zipfile.ZIP_DEFLATED)
    return out


def _own(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.name not in LEFT_OUT:
            yield path.relative_to(folder).as_posix(), path.read_bytes()
