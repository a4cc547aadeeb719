"""Whatever ends a plan, nothing of it stays: neither change set nor empty stacks, and of a dry run no bucket either."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from moto.cloudformation.models import cloudformation_backends

from freshet.deploy.leftovers import TRIES
from tests.deploy.cloud import Cloud
from tests.deploy.conftest import Person
from tests.deploy.resolve import ACCOUNT, REGION
from tests.deploy.test_deploy import client, stacks

REFUSED = "Nested change set arn:aws:x was not successfully created: Currently in FAILED."


def what_stays(cloud: Cloud) -> dict[str, Any]:
    """All that a plan makes and that is there still."""
    found = {
        "stacks": sorted(stacks()),
        "change sets": [each.change_set_name for each in cloudformation_backends[ACCOUNT][REGION].change_sets.values()],
        "empty nested stacks": sorted(cloud.reviewed),
        "buckets": [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]],
        "certificates": sorted(cloud.certificates),
    }
    return {what: those for what, those in found.items() if those}


@pytest.fixture(scope="module")
def calls() -> list[str]:
    """The calls of a dry run, in order; filled by the first test that needs them."""
    return []


def calls_of_a_dry_run(person: Person, calls: list[str]) -> list[str]:
    """Make a dry run of which nothing stays, once; give its calls."""
    if not calls:
        person.deploys("--dry-run")
        calls += person.cloud.calls
        assert {} == what_stays(person.cloud)
    return calls


def numbers(calls: list[str]) -> list[int]:
    """The first and the last call of each kind: between them lie only more files."""
    return sorted({calls.index(name) for name in calls} | {len(calls) - 1 - calls[::-1].index(name) for name in calls})


@pytest.mark.parametrize("part", range(4))
def test_a_dry_run_that_fails_leaves_nothing(person: Person, calls: list[str], part: int) -> None:
    """At each of its calls in turn, also those with which it removes what it made: those it tries again."""
    known = calls_of_a_dry_run(person, calls)
    assert {"cloudformation.create_stack", "s3.put_object", "cloudformation.create_change_set",
            "cloudformation.describe_change_set", "cloudformation.delete_change_set", "cloudformation.list_stacks",
            "cloudformation.delete_stack", "s3.list_object_versions", "s3.delete_objects", "dms.describe_certificates",
            "ec2.describe_vpc_endpoint_services", "iam.get_role"} <= set(known)  # fmt: skip
    planned = known.index("cloudformation.delete_change_set")
    for number in numbers(known)[part::4]:
        person.cloud.fault_at = number
        said = person.deploys("--dry-run", code=3 if number < planned else 0)
        assert known[number] == person.cloud.calls[number]
        assert ("broken on purpose" in said) == (number < planned)
        assert {} == what_stays(person.cloud), known[number]
        assert "stays:" not in said


@pytest.mark.parametrize("call", ["cloudformation.create_stack", "s3.put_object", "dms.describe_certificates",
                                  "cloudformation.create_change_set", "cloudformation.describe_change_set"])  # fmt: skip
@pytest.mark.parametrize("how", ["Ctrl-C", "no answer"])
def test_what_aws_has_done_already_goes_too(person: Person, call: str, how: str) -> None:
    """Ctrl-C, or a connection that breaks, after AWS has carried out the call: its answer is not known, what it made is."""
    if how == "Ctrl-C":
        person.cloud.interrupts.add(call)
    else:
        person.cloud.lost.add(call)
    person.deploys("--dry-run", code=130 if how == "Ctrl-C" else 3)
    assert {} == what_stays(person.cloud)


@pytest.mark.parametrize("call", ["cloudformation.describe_change_set", "cloudformation.create_change_set"])
def test_a_deployment_that_fails_before_the_yes_keeps_the_bucket_only(person: Person, call: str) -> None:
    """What was uploaded need not be again; the stack is not there."""
    person.cloud.lost.add(call)
    person.deploys("--yes", code=3)
    assert {"stacks", "buckets", "certificates"} == set(what_stays(person.cloud))
    assert {"demo-artifacts"} == set(stacks())


def test_a_refused_execution_leaves_no_change_set(person: Person) -> None:
    """CloudFormation says no: the empty stack goes."""
    person.cloud.refusals["cloudformation.execute_change_set"] = "InvalidChangeSetStatus"
    person.deploys("--yes", code=3)
    assert {"demo-artifacts"} == set(stacks())
    assert {} == person.cloud.reviewed


def test_the_plan_goes_without_nested_stacks_if_it_must(person: Person) -> None:
    """It says so, and why; the first change set and its stacks are gone. An update wants a person who has read that."""
    person.cloud.nested_refusal = REFUSED
    said = person.deploys("--dry-run")
    assert "The nested stacks are not looked into" in said
    assert "was not successfully created" in said
    assert "9 to create" in said
    assert 2 == person.cloud.calls.count("cloudformation.delete_change_set")
    assert {} == what_stays(person.cloud)
    assert "demo is up to date" in person.deploys("--yes")
    said = person.deploys("--yes", "--set", "MaxWorkers=5", code=2)
    assert "nobody knows what this update would replace or lose" in " ".join(said.split())


def test_a_change_set_that_is_refused_twice_leaves_nothing(person: Person) -> None:
    """With nested stacks and without: the reason is told, and all is as before."""
    person.cloud.nested_refusal = person.cloud.refusal = "Parameters: [X] do not exist"
    assert "refused the change: Parameters: [X] do not exist" in person.deploys("--dry-run", code=1)
    assert {} == what_stays(person.cloud)


def test_a_change_set_that_is_being_computed_is_deleted_later(person: Person) -> None:
    """Until then CloudFormation refuses to delete it."""
    person.cloud.interrupts.add("cloudformation.describe_change_set")
    person.cloud.refusals["cloudformation.delete_change_set"] = "InvalidChangeSetStatus"
    person.deploys("--dry-run", code=130)
    assert 2 == person.cloud.calls.count("cloudformation.delete_change_set")
    assert {} == what_stays(person.cloud)


def test_what_cannot_be_removed_is_told_and_destroyed_later(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own failure is told first; `freshet destroy` finds the empty stacks and the bucket with all that is in it."""
    person.cloud.fault_at, failing = (
        None,
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteStack"),
    )
    person.cloud.interrupts.add("cloudformation.describe_change_set")
    monkeypatch.setattr(person.cloud, "always", {"cloudformation.delete_stack": failing})
    said = person.deploys("--dry-run", code=130)
    assert "freshet destroy --stack demo removes it" in said
    assert 2 == person.cloud.calls.count(
        "cloudformation.delete_stack"
    )  # one for each of the two steps: a lack of rights stays
    assert {"demo", "demo-artifacts"} == set(stacks())
    person.cloud.always.clear()
    assert "destroyed: demo, demo-artifacts" in person.runs("destroy", "--stack", "demo", "--yes")
    assert {} == what_stays(person.cloud)


def test_patience_ends(person: Person) -> None:
    """What is refused for a minute is told, not tried for ever."""
    person.cloud.always["cloudformation.delete_change_set"] = ConnectTimeoutError(endpoint_url="https://x")
    said = person.deploys("--dry-run")
    assert TRIES == person.cloud.calls.count("cloudformation.delete_change_set")
    assert "stays: Connect timeout" in said


def test_a_plan_for_a_stack_that_is_there_leaves_it(person: Person) -> None:
    """Its change set goes, and it stays as it was, with its bucket and all that runs."""
    person.deploys("--yes")
    before, kept = stacks(), what_stays(person.cloud)
    for number, call in enumerate(("create_change_set", "describe_change_set")):
        person.cloud.lost.add(f"cloudformation.{call}")
        person.deploys("--dry-run", "--set", f"MaxWorkers={number + 5}", code=3)
        assert "cloudformation.delete_change_set" in person.cloud
        assert kept == what_stays(person.cloud)
        assert before == stacks()
    person.cloud.always["cloudformation.delete_change_set"] = ClientError({"Error": {"Code": "AccessDenied"}}, "No")
    said = person.deploys("--dry-run", "--set", "MaxWorkers=9")
    assert "stays: " in said
    assert "destroy" not in said  # which would take all away
