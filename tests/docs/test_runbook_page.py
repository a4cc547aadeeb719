"""docs/runbook.md: every alarm, error, command and parameter that it names exists, and none of the first two is left out."""

import ast
import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

import freshet
import streaming_job
from freshet.cli import app
from freshet.cli.context import ROOT
from freshet.errors import FreshetError
from tests.cloudformation.templates import NAMES, resources, strings, template

PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALARM_PARTS = ("Means", "At risk", "Look", "Do", "Over")
ERROR_PARTS = ("Means", "Lost", "Do")
NAMED = (
    ("AWS::CloudWatch::Alarm", "AlarmName"),
    ("AWS::Events::Rule", "Name"),
    ("AWS::DMS::EventSubscription", "SubscriptionName"),
)
WIDTH_MAX = 125  # of prose; tables and code may be longer


def chapters(page: str) -> dict[str, str]:
    """Give the text of each heading of the second level."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named(chapter: str) -> dict[str, str]:
    """Give the text below each heading of a chapter that is a name in code."""
    parts = re.split(r"^### (.+)$", chapter, flags=re.MULTILINE)
    told = zip(parts[1::2], parts[2::2], strict=True)
    return {title.strip("`"): text for title, text in told if re.fullmatch(r"`[\w-]+`", title)}


def alarms_told(page: str) -> dict[str, str]:
    """Give what the page says of each alarm."""
    return named(chapters(page).get("Alarms", ""))


def errors_told(page: str) -> dict[str, str]:
    """Give what the page says of each error class."""
    texts = [text for title, text in chapters(page).items() if title.startswith("Errors of ")]
    return {name: text for chapter in texts for name, text in named(chapter).items()}


def alarms() -> set[str]:
    """Name what tells a person, as the templates name it, without the stack's name."""
    names = [properties[name] for kind, name in NAMED for _, _, properties in resources(kind)]
    return {str(name["Fn::Sub"]).removeprefix("${StackLabel}-") for name in names}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Import every module of a package, but those that run when they are imported."""
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def subclasses(kind: type[FreshetError]) -> Iterator[type[FreshetError]]:
    """Give a class and all that come from it."""
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


@cache
def errors() -> frozenset[str]:
    """Name the errors that the code can end with: each class that some line makes one of."""
    everything = [module for package in (freshet, streaming_job) for module in modules(package)]
    files = [Path(str(module.__file__)) for module in everything]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = {node.func.id for node in nodes if isinstance(node.func, ast.Name)}
    ours = {module.__name__ for module in everything}
    classes = {kind.__name__ for kind in subclasses(FreshetError) if kind.__module__ in ours}
    return frozenset(classes & made)


def reasons() -> set[str]:
    """Name the reasons for which the code quarantines a record or a key."""
    files = (
        "streaming_job/records.py",
        "streaming_job/stage.py",
        "freshet/pipeline/values.py",
        "freshet/mysql/rows.py",
    )
    text = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    return set(re.findall(r'(?:Unreadable\([\w.]+, |Unfit\(|yield |else )"([a-z]\w+)"', text))


def blocks(page: str) -> Iterator[str]:
    """Give the lines of the page's blocks of code, with what a backslash or an open quote joins."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL):
        joined = re.sub(r"\\\n\s*", "", block)
        joined = re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace("\n", " "), joined)
        yield from (line.strip() for line in joined.splitlines())


def spans(page: str) -> Iterator[str]:
    """Give the code within the page's prose."""
    prose = re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose))


def commands(lines: Iterable[str]) -> list[list[str]]:
    """Give the words of each `freshet ...`."""
    return [shlex.split(line, comments=True)[1:] for line in lines if re.match(r"freshet [a-z]", line)]


def wrong_words(words: list[str], *, whole: bool = False) -> list[str]:
    """Say which words of a command it does not know; of one to be typed as it is, also what is missing."""
    known: Any = typer.main.get_command(app)
    command = known.commands.get(words[0])
    if command is None:
        return [words[0]]
    if hasattr(command, "commands"):
        words = words[1:]
        command = command.commands.get(words[0])
        if command is None:
            return [words[0]]
    try:
        context = command.make_context("freshet", [*words[1:]], resilient_parsing=not whole)
    except Exception as error:  # noqa: BLE001 - whatever the parser says is wrong with it
        return [str(error)]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    extra = [] if len(context.args) == 0 else [f"too many arguments: {context.args}"]
    return extra + [word for word in words if word.startswith("--") and word not in options]


def parameters(page: str) -> set[str]:
    """Name the parameters that the page sets."""
    texts = [*blocks(page), *spans(page)]
    found = {name for text in texts for name in re.findall(r"--set (\w+)", text)}
    return found | {text for text in texts if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+", text)}


def anchors(page: str) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def problems(page: str) -> list[str]:
    """Say where the page's headings and the code differ."""
    wrong = []
    for what, told, there, parts in (
        ("alarm", alarms_told(page), alarms(), ALARM_PARTS),
        ("error", errors_told(page), errors(), ERROR_PARTS),
    ):
        wrong += [f"no heading for the {what} {name}" for name in there - told.keys()]
        wrong += [f"there is no {what} {name}" for name in told.keys() - there]
        wrong += [
            f"{name}: {parts} are not told in this order"
            for name, text in told.items()
            if tuple(re.findall(r"^\*\*([A-Z][a-z ]+)\.\*\* \S", text, re.MULTILINE)) != parts
        ]
    return wrong


def headings() -> list[str]:
    """Name every alarm and error that the page tells."""
    return [*alarms_told(PAGE), *errors_told(PAGE)]


def test_every_alarm_and_error_has_its_heading() -> None:
    """And no other; each with its parts in their order."""
    assert len(alarms()) > 8
    assert len(errors()) > 12
    assert [] == problems(PAGE)


def test_mere_bases_are_no_errors_to_look_up() -> None:
    """Nothing ends with a class that no line makes one of."""
    assert "TransientError" not in errors()
    assert {"StaleBatch", "TerminalError", "StackFailed", "DefinitionErrors", "FreshetError"} <= errors()


@pytest.mark.parametrize("name", headings())
def test_a_heading_that_is_missing_or_wrong_is_seen(name: str) -> None:
    """The test's own eye: no heading, another name, a part that is missing."""
    heading = f"### `{name}`\n"
    assert PAGE.count(heading) == 1
    for other in ("", f"### `{name}s`\n"):
        assert problems(PAGE.replace(heading, other)), other
    before, _, after = PAGE.partition(heading)
    assert problems(before + heading + after.replace("**Do.** ", "", 1))


def test_every_command_exists() -> None:
    """Each `freshet ...` of the page names a command, and options and arguments that it takes."""
    typed, told = commands(blocks(PAGE)), commands(spans(PAGE))
    assert len(typed) > 5
    assert len(told) > 20
    assert {} == {" ".join(words): wrong for words in typed if (wrong := wrong_words(words, whole=True))}
    assert {} == {" ".join(words): wrong for words in told if (wrong := wrong_words(words))}


@pytest.mark.parametrize("line", ["repair PIPELINE", "deploy PIPELINE --purge", "status a b --aws", "verify a --aws"])
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    """The test's own eye: a command, an option, an argument too many, an option of another command."""
    assert wrong_words(line.split())
    assert wrong_words(["deploy"], whole=True)


def test_every_parameter_exists() -> None:
    """What is set with `--set`, or written like a parameter, is one of the root stack's, or a word of AWS or of the code."""
    known = set(template("freshet")["Parameters"]) | errors()
    words = {text for name in NAMES for text in strings(template(name))}
    words |= {key.strip('"') for text in words for key in re.findall(r'"\w+"', text)}
    metrics = {"FreeableMemory", "SwapUsage", "CPUUtilization", "WriteProvisionedThroughputExceeded", "ErrorMessage"}
    told = parameters(PAGE)
    assert len(told) > 8
    assert set() == told - known - words - metrics
    assert {name for text in (*blocks(PAGE), *spans(PAGE)) for name in re.findall(r"--set (\w+)", text)} <= set(
        template("freshet")["Parameters"]
    )


def test_names_are_those_of_the_templates() -> None:
    """A name with STACK in it is one that a template gives."""
    given = {text.replace("${StackLabel}", "STACK") for name in NAMES for text in strings(template(name))}
    table = PAGE.partition("### Names")[2].partition("\n### ")[0]
    names = set(re.findall(r"`(\S*STACK\S*)`", table)) - {"dms-tasks-STACK-replication"}
    assert len(names) > 8
    assert set() == names - given
    shown = set(re.findall(r"--(?:job-name|stream-name|name) (\S*STACK\S*)", PAGE))
    assert len(shown) > 3
    assert set() == {name.partition("`")[0] for name in shown} - given


def test_alarms_that_are_switched_off_exist() -> None:
    """The names behind `--alarm-names` are alarms."""
    shown = re.findall(r"-alarm-actions --alarm-names (.+)", PAGE)
    assert len(shown) == 2
    assert {name.removeprefix("STACK-") for line in shown for name in line.split()} <= alarms()


def test_every_reason_of_quarantine_is_explained() -> None:
    """The table of reasons has each code that a record or a key can be quarantined with, and no other."""
    table = PAGE.partition("| Reason |")[2].partition("\n\n")[0]
    told = [
        reason for line in table.splitlines() if "|" in line for reason in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert len(told) == len(set(told))
    assert reasons() == set(told)


def test_links_lead_somewhere() -> None:
    """Files that are linked exist, and so do the headings."""
    links = re.findall(r"\]\(\s*([^)#\s]*)(?:#([^)\s]+))?\)", PAGE)
    assert len(links) > 30
    for file, anchor in links:
        target = ROOT / "docs" / file if file else ROOT / "docs" / "runbook.md"
        assert target.exists(), file
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), anchor


def test_prose_is_narrow() -> None:
    """Lines of prose can be read in a terminal."""
    prose = re.sub(r"^ *```.*?^ *```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in prose.splitlines() if not line.lstrip().startswith("|")]
    assert [] == [line for line in lines if len(line) > WIDTH_MAX]
