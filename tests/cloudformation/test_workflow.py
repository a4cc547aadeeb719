"""The state machine of workflows: every failure is caught and told, and what it tells the jobs is what they take."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from batch_jobs.load import __main__ as load
from batch_jobs.run_sql import __main__ as run_sql
from tests.cloudformation.templates import FOLDER, template

TEXT = (FOLDER / "workflow.asl.json").read_text(encoding="utf-8")
MACHINE = json.loads(TEXT)
STAGES = ("Load", "Transform", "Unload")
GLUES_OWN = {"--mode", "--debug", "--endpoint", "--JOB_NAME"}


def states(stage: str) -> dict[str, Any]:
    """Give the states of an item of a stage."""
    return dict(MACHINE["States"][stage]["ItemProcessor"]["States"])


def tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every task."""
    for stage in STAGES:
        yield from ((name, state) for name, state in states(stage).items() if state["Type"] == "Task")


def test_the_stages_follow_each_other() -> None:
    """Load, transform, unload; each a Map over its list of the input, one item after the other."""
    assert list(STAGES) == list(MACHINE["States"])
    assert "Load" == MACHINE["StartAt"]
    assert ["Transform", "Unload", None] == [MACHINE["States"][stage].get("Next") for stage in STAGES]
    for stage in STAGES:
        found = MACHINE["States"][stage]
        assert ("Map", f"$.{stage.lower()}", 1) == (found["Type"], found["ItemsPath"], found["MaxConcurrency"])


def test_what_the_template_puts_in_is_what_the_text_asks_for() -> None:
    """Every substitution is used, and none is missing."""
    told = template("workflows")["Resources"]["StateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert set(told) == set(re.findall(r"\$\{(\w+)\}", TEXT))


def test_every_failure_is_caught_and_told() -> None:
    """A task of a job leads to the topic whatever its error; the topic's own failure still ends in the item's."""
    for name, task in tasks():
        (catch,) = task["Catch"]
        assert ["States.ALL"] == catch["ErrorEquals"], name
        if "glue" in task["Resource"]:
            assert "Glue.ConcurrentRunsExceededException" in task["Retry"][0]["ErrorEquals"]
            assert not {"States.ALL", "States.TaskFailed"} & {
                error for each in task["Retry"] for error in each["ErrorEquals"]
            }
    assert 6 == len(list(tasks()))


@pytest.mark.parametrize("stage", STAGES)
def test_every_way_ends(stage: str) -> None:
    """Each state of an item leads to one that is there, none is left out; all ways end done or failed, and failed ones told."""
    found = states(stage)
    ways = {name: set(nexts(state)) for name, state in found.items()}
    assert set() == set().union(*ways.values()) - found.keys()
    start = MACHINE["States"][stage]["ItemProcessor"]["StartAt"]
    assert found.keys() == set().union(*ways.values()) | {start}
    ends = {name for name, nexts_ in ways.items() if not nexts_}
    assert {f"{stage}Done", f"{stage}Fails"} == ends
    assert {f"{stage}Notify"} == {name for name, nexts_ in ways.items() if f"{stage}Fails" in nexts_}


def nexts(state: dict[str, Any]) -> Iterator[str]:
    """Give where a state may lead."""
    for place in (state, *state.get("Choices", ()), *state.get("Catch", ())):
        if "Next" in place:
            yield place["Next"]
    if "Default" in state:
        yield state["Default"]


def test_a_message_names_what_failed() -> None:
    """Workflow, state, item, error, cause, run and execution."""
    for stage in STAGES:
        message = states(stage)[f"{stage}Notify"]["Parameters"]["Message"]
        assert {"workflow", "state", "item", "error", "cause", "run", "execution"} == {
            key.partition(".")[0] for key in message
        }
        assert stage == message["state"]


def arguments(job: str, task: dict[str, Any]) -> dict[str, str]:
    """Give what a job is started with: the template's arguments and the task's."""
    own = template("workflows")["Resources"][job]["Properties"]["DefaultArguments"]
    given = {name.removesuffix(".$"): "x" for name in task["Parameters"]["Arguments"]}
    return {**dict.fromkeys(own, "x"), **given}


def test_the_jobs_take_what_they_are_told() -> None:
    """Every argument is one of the program's, of the launcher's or of Glue's; none is a name that Glue keeps for itself."""
    known = {
        "RunSqlJob": (run_sql.parse, {"--commit": "each", "--parameters": "{}"}),
        "LoadJob": (lambda words: load._parser().parse_args(words), {}),
    }
    for _, task in tasks():
        if "glue" not in task["Resource"]:
            continue
        job = task["Parameters"]["JobName"].strip("${}")
        told = arguments(job, task)
        assert set() == set(told) & GLUES_OWN
        read, special = known[job]
        words = {name: value for name, value in told.items() if name not in {"--library-set", "--bundle", "--program"}}
        parsed = read([word for name, value in {**words, **special}.items() for word in (name, value)])
        assert parsed


def test_nobody_can_tell_the_jobs_more() -> None:
    """An execution's input chooses file and parameters, not the code that runs, the database or the role."""
    told = {name for _, task in tasks() for name in task["Parameters"].get("Arguments", {})}
    assert {"--file.$", "--parameters.$", "--commit.$", "--definition.$"} == told
