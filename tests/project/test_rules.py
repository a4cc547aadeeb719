"""The rules of this repository that a machine can check."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
LINES_MAX = 500
BASICS = {
    "freshet.errors",
    "freshet.settings",
    "freshet.logs",
    "freshet.words",
    "freshet.glue_arguments",
    "freshet.unsent",
}
# What each room may import of ours, beside itself; the design's table of rooms.
ROOMS = {
    "freshet/spark": BASICS,
    "freshet/pipeline": BASICS,
    "freshet/mysql": BASICS | {"freshet.pipeline", "freshet.ledger.keys"},
    "freshet/redshift": BASICS,
    "freshet/ledger": BASICS | {"freshet.pipeline", "freshet.redshift"},
    "freshet/deploy": BASICS | {"freshet.pipeline"},
    "freshet/verify": BASICS | {"freshet.ledger", "freshet.pipeline", "freshet.redshift"},
    "freshet/cli": {"freshet", "streaming_job", "batch_jobs", "sandbox"},
    "streaming_job": BASICS
    | {"freshet.ledger", "freshet.mysql", "freshet.pipeline", "freshet.redshift", "freshet.spark"},
    "batch_jobs": BASICS | {"freshet.pipeline", "freshet.redshift", "freshet.spark"},
    "simulators": set(),
    "cloudformation": {"streaming_job", "freshet.redshift", "batch_jobs.export_dynamodb"} | BASICS,
    "sandbox": set(),
    "benchmarks": {"freshet", "streaming_job", "batch_jobs", "sandbox"},
}
OURS = {"freshet", "streaming_job", "batch_jobs", "simulators", "sandbox", "benchmarks", "tests"}
# Words of the example that any other schema may have too.
COMMON_COLUMNS = {"name", "email", "phone", "location", "created_at", "updated_at", "start_date", "email_address"}
COMMON_COLUMNS |= {"phone_number"}
TELLS_THE_EXAMPLE = ("sql/", "simulators/", "tests/", "benchmarks/", "docs/", "freshet/cli/demo")


def files(*suffixes: str) -> list[str]:
    """Name the repository's files, those not yet committed too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return sorted(name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file())


def tree(name: str) -> ast.Module:
    """Parse a module."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def imported(name: str) -> Iterator[str]:
    """Give the full names of what a module imports, wherever in it."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, rooms: set[str]) -> bool:
    """Tell whether a module lives in one of the rooms."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def test_no_module_is_long() -> None:
    """A module that needs more than 500 lines is two."""
    sizes = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in files(".py")}
    assert {} == {name: size for name, size in sizes.items() if size > LINES_MAX}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_design_allows(room: str) -> None:
    """The arrows between rooms are those of the design."""
    allowed = ROOMS[room] | {room.replace("/", ".")}
    wrong = [
        (name, module)
        for name in files(".py")
        if name.startswith(f"{room}/")
        for module in imported(name)
        if module.partition(".")[0] in OURS and not within(module, allowed)
    ]
    assert [] == wrong


def test_every_room_has_its_rule() -> None:
    """A new top-level package is put into the table above first."""
    tops = {name.partition("/")[0] for name in files(".py") if "/" in name} - {"freshet", "tests"}
    assert tops <= set(ROOMS)
    rooms = {
        "/".join(name.split("/")[:2]) for name in files(".py") if name.count("/") > 1 and name.startswith("freshet/")
    }
    assert rooms <= set(ROOMS)


def test_nothing_names_a_folder_of_one_machine() -> None:
    """No file holds an absolute path below someone's home or a temporary folder."""
    path = re.compile(r"(?<![\w.*{}$\-])/(?:home|root|tmp|Users|work)/[\w.{]")
    found = [
        f"{name}:{number}"
        for name in files("")
        if name != "tests/project/test_rules.py"
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if path.search(line)
    ]
    assert [] == found


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "simulators/constraints.txt", "setup.sh"])
def test_packages_come_from_wherever_pip_is_told_to_look(name: str) -> None:
    """No file of the set-up names a package index."""
    assert not re.search(r"https?://|index-url|find-links|trusted-host", (ROOT / name).read_text())


@pytest.mark.parametrize("name", ["constraints.txt", "simulators/constraints.txt"])
def test_every_package_is_pinned(name: str) -> None:
    """One version each."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert [] == [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.]+", line)]


def test_every_requirement_has_its_pin() -> None:
    """What pyproject.toml asks for stands in constraints.txt."""
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = re.findall(r'^    "([\w\-]+)[^"]*",', project.partition("[project.scripts]")[0], re.MULTILINE)
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert len(dependencies) > 5
    assert set() == {name.lower() for name in dependencies} - pinned


SHELL = (
    "simulators/",
    "cloudformation/bootstrap.py",
    "cloudformation/launchers/python_shell.py",
    "batch_jobs/run_sql/",
)
SHELL += (
    "batch_jobs/load/",
    "batch_jobs/__init__.py",
    "batch_jobs/stopping.py",
    "freshet/__init__.py",
    "freshet/errors.py",
)
SHELL += tuple(f"freshet/redshift/{name}.py" for name in ("catalogue", "data_api", "literals", "runs"))


@pytest.mark.parametrize("name", [name for name in files(".py") if name.startswith(SHELL)])
def test_python_shell_jobs_are_python_3_9(name: str) -> None:
    """They run as AWS Glue Python shell jobs, which stop there."""
    ast.parse((ROOT / name).read_text(encoding="utf-8"), name, feature_version=(3, 9))


def test_the_tables_are_defined_once() -> None:
    """What the simulators create is the very file that describes the source."""
    assert (ROOT / "sql/source/sport_events.sql").samefile(ROOT / "simulators/shop/schema.sql")


def example_names() -> set[str]:
    """Read the names of the example's tables and columns, without the common ones."""
    names = {path.name for path in (ROOT / "sql/pipelines").iterdir()}
    for path in (ROOT / "sql/source").glob("*.sql"):
        names |= set(re.findall(r"create table if not exists (\w+)", path.read_text()))
        names |= set(re.findall(r"^    (\w+) +(?:\w*int|varchar|datetime|decimal)", path.read_text(), re.MULTILINE))
    return names - COMMON_COLUMNS


def code_texts(name: str) -> Iterator[str]:
    """Give the names and strings of a module; a docstring is documentation, and may show the example."""
    module = tree(name)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def test_the_product_does_not_know_the_example() -> None:
    """Another schema works as well: no table or column of the example stands in the product's code."""
    names = example_names()
    assert {"ticket_activity", "seat_level", "sport_event_activity", "customer"} <= names
    word = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(names))})(?![a-z])")
    product = [name for name in files(".py") if not name.startswith(TELLS_THE_EXAMPLE)]
    assert len(product) > 20
    wrong = {(name, found[0]) for name in product for text in code_texts(name) if (found := word.search(text))}
    wrong |= {
        (name, found[0])
        for name in files(".sql", ".yaml", ".json", ".sh", "Makefile", ".toml", ".css", ".html")
        if not name.startswith(TELLS_THE_EXAMPLE)
        if (found := word.search((ROOT / name).read_text(encoding="utf-8")))
    }
    assert set() == wrong


def documents() -> list[str]:
    """Name the pages that a user reads."""
    return [
        name for name in files(".md") if name == "README.md" or name.startswith("docs/") or name.endswith("/README.md")
    ]


def shown_commands(name: str, program: str) -> set[str]:
    """Find the words that follow a program's name in a page's code: blocks, and text between backticks."""
    text = (ROOT / name).read_text(encoding="utf-8")
    code = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`[^`\n]+`", text)
    pattern = rf"(?:^|[`$|&;]\s*|[\w./]*/bin/){program} ([a-z]\w*)"
    return {word for part in code for word in re.findall(pattern, part, re.MULTILINE)}


@pytest.mark.parametrize("name", documents())
def test_every_command_that_is_shown_exists(name: str) -> None:
    """Each `freshet ...` and `make ...` of a page can be typed."""
    from freshet.cli import app

    known = set(getattr(typer.main.get_command(app), "commands", {}))
    assert "demo" in known
    assert set() == shown_commands(name, "freshet") - known
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set() == shown_commands(name, "make") - targets


def test_no_test_is_judged_by_its_speed() -> None:
    """Every wait ends at the one limit after which a thing hangs; another number would be a guess at somebody's machine."""
    guess = re.compile(
        r"\b(?:timeout|timeout_s)=\d|\.wait\(\d|\.communicate\(\d|(?:monotonic|time|perf_counter)\(\) \+ \d"
    )
    found = [
        f"{name}:{number}"
        for name in files(".py")
        if name.startswith("tests/") and name not in {"tests/project/test_rules.py", "tests/patience.py"}
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if guess.search(line)
    ]
    assert [] == found
