"""The set-up and the CI run end as they should, also where something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.patience import HANGS_S

ROOT = Path(__file__).parents[2]
TOOLS = (
    "sh",
    "bash",
    "dirname",
    "date",
    "cat",
    "cksum",
    "grep",
    "sed",
    "id",
    "tee",
    "tail",
    "mktemp",
    "rm",
    "mkdir",
    "cut",
)
# Where setup.sh looks beside the PATH.
OTHER_PLACES = "/usr/local/bin:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/opt/homebrew/sbin"


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder with a few plain tools, to be the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool, path=os.defpath)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    """Put a program of a few shell lines on the PATH; each call is noted in the file `calls`."""
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\n{script}\n')
    path.chmod(0o755)


def set_up(clone: Path, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up of a new clone."""
    clone.mkdir(parents=True, exist_ok=True)
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, clone)
    return subprocess.run(
        [str(clone / "setup.sh")],
        env={"PATH": str(path), **variables}, capture_output=True, text=True, check=False, timeout=HANGS_S,
    )  # fmt: skip


needs_a_bare_machine = pytest.mark.skipif(
    bool(shutil.which("mariadb-install-db", path=OTHER_PLACES)), reason="MariaDB is outside the PATH too"
)


@needs_a_bare_machine
def test_what_cannot_be_installed_is_named(tmp_path: Path, bare_path: Path) -> None:
    """Without a packager the set-up names what is missing, exits with 3 and makes no environment, and says nothing on stdout."""
    done = set_up(tmp_path / "a clone", bare_path)
    assert (3, "") == (done.returncode, done.stdout), done.stderr
    assert "missing: " in done.stderr
    assert "mariadb" in done.stderr
    assert not (tmp_path / "a clone" / ".venv").exists()


def function(name: str, call: str, path: Path, **variables: str) -> str:
    """Call a function of the set-up alone."""
    text = (ROOT / "setup.sh").read_text()
    start = text.index(f"{name}() {{")
    lines = [line for line in text.splitlines() if line.startswith("JAVA_VERSIONS=")]
    others = text[text.index("java_version() {") : text.index("has_mariadb()")]
    script = "\n".join([*lines, others, text[start : text.index("\n}\n", start) + 3], call])
    return subprocess.run(
        ["sh", "-c", script], env={"PATH": str(path), **variables}, capture_output=True, text=True, check=False
    ).stdout.strip()


@pytest.mark.parametrize(
    ("archive", "chosen"),
    [("17 21 25", "openjdk-17-jre-headless"), ("21 25", "openjdk-21-jre-headless"), ("25", "")],
)
def test_the_archive_decides_which_java_is_installed(bare_path: Path, archive: str, chosen: str) -> None:
    """17, else 21. An archive may know the name of a package that it does not have: a candidate counts, not a name."""
    policy = f"""
have='(none)'
for v in {archive}; do [ "$2" != openjdk-$v-jre-headless ] || have=$v.0.3; done
printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$2" "$have"
"""
    tool(bare_path, "apt-cache", policy)
    assert chosen == function("apt_java", "apt_java", bare_path)


def test_java_17_is_preferred_to_21(tmp_path: Path, bare_path: Path) -> None:
    """Whichever JAVA_HOME and the PATH name; a home of another version is none."""
    homes = {}
    for version in ("11", "17", "21"):
        homes[version] = tmp_path / version
        (homes[version] / "bin").mkdir(parents=True)
        said = f'openjdk version \\"{version}.0.3\\"'
        tool(homes[version] / "bin", "java", f'echo "{said}" >&2; echo "    java.home = {homes[version]}" >&2')
    (bare_path / "java").symlink_to(homes["17"] / "bin" / "java")
    assert str(homes["17"]) == function("find_java", "find_java", bare_path, JAVA_HOME=str(homes["21"]))
    assert "21" == function("find_java", f"java_version {homes['21']}", bare_path)
    assert "" == function("find_java", f"java_version {homes['11']}", bare_path)


@needs_a_bare_machine
def test_apt_in_use_is_waited_for(tmp_path: Path, bare_path: Path) -> None:
    """While another program holds apt's lock the set-up says so once, and tries again."""
    tool(bare_path, "id", "echo 0")
    tool(bare_path, "sleep", ":")
    tool(bare_path, "dpkg", '[ "$1" != --audit ] || echo "openjdk-17-jre-headless is not configured"')
    tool(bare_path, "apt-cache", "echo '  Candidate: 17.0.3'")
    lock = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"
    folder = bare_path
    tool(
        bare_path, "apt-get",
        f'[ "$(grep -c "^apt-get.*update" "{folder}/calls")" -gt 3 ] || {{ echo "{lock}"; exit 100; }}',
    )  # fmt: skip
    tool(bare_path, "env", 'shift; exec "$@"')
    done = set_up(tmp_path / "clone", bare_path)
    calls = (bare_path / "calls").read_text()
    assert 1 == done.stderr.count("apt-get is used by another program")
    assert 3 == calls.count("sleep 5")
    assert "dpkg --configure -a" in calls
    assert "apt-get -qq install -y --no-install-recommends mariadb-server-core" in calls
    assert 3 == done.returncode  # this apt-get installs nothing


@needs_a_bare_machine
def test_half_an_installation_is_finished_first(tmp_path: Path, bare_path: Path) -> None:
    """A Java whose settings are not there yet says its version all the same; who may not finish it is told to have it done."""
    tool(bare_path, "id", "echo 1000")
    tool(bare_path, "dpkg", "echo ' openjdk-17-jre-headless:amd64 OpenJDK Java runtime'")
    done = set_up(tmp_path / "clone", bare_path)
    assert 3 == done.returncode
    assert "sudo dpkg --configure -a" in done.stderr


@needs_a_bare_machine
def test_apt_that_stays_in_use_is_no_endless_wait(tmp_path: Path, bare_path: Path) -> None:
    """The failure names the log, which has apt's own words."""
    tool(bare_path, "id", "echo 0")
    tool(bare_path, "sleep", ":")
    tool(bare_path, "env", 'shift; exec "$@"')
    tool(bare_path, "apt-get", "echo 'E: Unable to lock directory /var/lib/apt/lists/'; exit 100")
    done = set_up(tmp_path / "clone", bare_path)
    assert 3 == done.returncode
    assert "Unable to lock directory" in done.stderr
    assert "apt-get update failed; all it said is in .freshet/setup.log" in done.stderr
    assert 0o600 == (tmp_path / "clone" / ".freshet" / "setup.log").stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["a:b", "a,b"])
def test_a_path_that_no_list_of_folders_can_hold_is_refused(tmp_path: Path, bare_path: Path, name: str) -> None:
    """PATH is cut at colons, Spark's local folders at commas; nothing is begun."""
    done = set_up(tmp_path / name, bare_path)
    assert 3 == done.returncode
    assert "a colon or a comma" in done.stderr
    assert ["constraints.txt", "pyproject.toml", "setup.sh"] == sorted(
        path.name for path in (tmp_path / name).iterdir()
    )


@pytest.mark.parametrize(
    ("code", "after", "summary"),
    [
        (0, "", "======== 3 passed in 1.20s ========"),
        (2, "make: *** [Makefile:26: test] Error 1", "======== 1 failed, 2 passed in 1.20s ========"),
    ],
)
def test_ci_ends_with_the_summary(tmp_path: Path, bare_path: Path, code: int, after: str, summary: str) -> None:
    """The last line is pytest's, and the exit code is kept, when make has the last word too."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    make = bare_path / "make"
    make.write_text(f"#!/bin/sh\necho '{summary}'\necho '{after}' >&2\nexit {code}\n")
    make.chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci/run")], env={"PATH": str(bare_path)}, capture_output=True, text=True, check=False
    )
    assert code == done.returncode
    assert summary == done.stdout.rstrip().splitlines()[-1]
