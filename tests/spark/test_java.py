"""Java starts wherever the clone lies and whatever the machine knows of itself."""

import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from freshet.spark import java
from tests.patience import HANGS_S

ODD = """it's a "dir" of $HOME é"""
READS = """
class Reads {
    public static void main(String[] words) throws Exception {
        java.nio.file.Path folder = java.nio.file.Path.of(System.getProperty("java.io.tmpdir"));
        System.out.print(java.nio.file.Files.isDirectory(folder) + " " + java.net.InetAddress.getLocalHost().getHostName());
    }
}
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment as it was, afterwards."""
    for name in ("LC_ALL", "PYSPARK_PYTHON"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("LC_ALL", "C")


def run(folder: Path, *options: str) -> str:
    """Run a Java program with the options that Spark's driver would get."""
    java.prepare_environment()
    program = folder / "Reads.java"
    program.write_text(READS)
    told = shlex.split(java.driver_options(*options, work_folder=folder))
    return subprocess.run(
        [str(Path(os.environ["JAVA_HOME"], "bin", "java")), *told, str(program)],
        capture_output=True, text=True, check=True, timeout=HANGS_S,
    ).stdout  # fmt: skip


def test_any_folder_will_do_in_any_locale(tmp_path: Path, environment: None) -> None:
    """Blanks, quotes, a dollar, an accent, in the locale C."""
    folder = tmp_path / ODD
    folder.mkdir()
    assert run(folder).startswith("true ")


def test_a_machine_that_does_not_know_its_name_starts_java_too(
    tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark asks for the address of its own name, and would stop; a file of hosts tells it."""
    monkeypatch.setattr(socket, "gethostname", lambda: "nobody-knows.invalid")
    options = java.driver_options(work_folder=tmp_path)
    assert f"-Djdk.net.hosts.file={tmp_path / 'hosts'}" in shlex.split(options)
    assert "127.0.0.1 localhost nobody-knows.invalid\n" == (tmp_path / "hosts").read_text()


def test_a_machine_that_knows_its_name_asks_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no file stands between Java and the names of other machines."""
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert "hosts.file" not in java.driver_options(work_folder=tmp_path)
