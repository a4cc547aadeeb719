"""A sandbox runs in any folder, and what it runs as another user gets where that user may not go."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox import control
from sandbox.errors import MissingPart
from sandbox.redshift import postgres, postgres_programs

PLACES = ["""it's a "dir" of $HOME é""", "/".join("a-rather-long-name-of-a-folder" for _ in range(6))]


@pytest.mark.parametrize("place", PLACES, ids=["odd", "long"])
def test_a_sandbox_runs_in_any_folder(tmp_path: Path, place: str) -> None:
    """Blanks, quotes, a dollar, an accent; longer than the path of a socket may be."""
    state = tmp_path / place
    try:
        assert control.start(state)["redshift"]["database"]
    finally:
        control.stop(state)
    assert not control.running(state)


def behind(folder: Path) -> Path:
    """Give the wheel's initdb by a path through another folder, which is its real path."""
    package = postgres_programs.program("initdb").parents[2]
    for name in (package.name, f"{package.name}.libs"):
        if package.with_name(name).is_dir():
            subprocess.run(["cp", "-a", str(package.with_name(name)), str(folder)], check=True)
    return folder / package.name / "pginstall18" / "bin" / "initdb"


def test_initdb_runs_where_its_path_has_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts its server through a shell, by its own path; so both are copied to a plain one, and nothing stays there."""
    folder = tmp_path / 'a "quoted" $HOME'
    folder.mkdir()
    initdb = behind(folder)
    monkeypatch.setattr(postgres_programs, "program", lambda _name: initdb)
    with postgres_programs.plain_initdb() as plain:
        assert plain != initdb
        data = tmp_path / "data"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, postgres._UNPRIVILEGED)
        subprocess.run(
            [*postgres._as_allowed(), str(plain), "--pgdata", str(data), "--no-sync", "--username", "x"],
            check=True,
            cwd="/",
        )
    assert not plain.exists()


def test_no_plain_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which program, and what to do."""
    monkeypatch.setattr(postgres_programs, "program", lambda _name: Path('/a "quoted" place/initdb'))
    monkeypatch.setattr(postgres_programs, "_TEMPORARY", ())
    monkeypatch.setattr("tempfile.tempdir", "/also $quoted")
    with pytest.raises(MissingPart, match="move the clone to a plain path"), postgres_programs.plain_initdb():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs PostgreSQL as another user")
def test_root_runs_postgres_behind_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs and the data lie where only root may go, as in root's home."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    initdb = behind(private)
    monkeypatch.setattr(postgres_programs, "program", initdb.with_name)
    monkeypatch.setattr(postgres, "program", initdb.with_name)
    server = postgres.Postgres(private / "state", "dev")
    try:
        server.start()
        with server.connect() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        server.stop()
    assert 0o700 == private.stat().st_mode & 0o777
