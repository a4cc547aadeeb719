"""The deployed DMS task stops before it drops anything."""

import json
import re
from typing import Any

from freshet.cli.context import ROOT
from sandbox.dms import settings
from tests.cloudformation.templates import resources

# DMS user guide, "Error handling task settings": every setting that there is.
POLICIES = {
    "DataErrorPolicy", "DataTruncationErrorPolicy", "DataMaskingErrorPolicy", "DataErrorEscalationPolicy",
    "EventErrorPolicy", "TableErrorPolicy", "TableErrorEscalationPolicy", "ApplyErrorDeletePolicy",
    "ApplyErrorInsertPolicy", "ApplyErrorUpdatePolicy", "ApplyErrorEscalationPolicy",
}  # fmt: skip
OTHERS = {
    "DataErrorEscalationCount": 0, "TableErrorEscalationCount": 0, "ApplyErrorEscalationCount": 0,
    # Faults of the surroundings are tried again for as long as DMS does; a TRUNCATE is no change that the job follows.
    "RecoverableErrorCount": -1, "RecoverableErrorInterval": 5, "RecoverableErrorThrottling": True,
    "RecoverableErrorThrottlingMax": 1800, "RecoverableErrorStopRetryAfterThrottlingMax": False,
    "ApplyErrorFailOnTruncationDdl": False, "FailOnNoTablesCaptured": True,
    "FailOnTransactionConsistencyBreached": True, "FullLoadIgnoreConflicts": False,
}  # fmt: skip


def task_settings() -> dict[str, Any]:
    ((_, _, task),) = resources("AWS::DMS::ReplicationTask")
    read: dict[str, Any] = json.loads(task["ReplicationTaskSettings"])
    return read


def test_every_error_policy_is_explicit_and_stops_the_task() -> None:
    """What is left out would be DMS's default, which logs the error and drops the record, or suspends the table."""
    assert dict.fromkeys(POLICIES, "STOP_TASK") | OTHERS == task_settings()["ErrorBehavior"]


def test_dms_captures_changes_only() -> None:
    """No full load: a row that a change record does not name comes by a sweep (migration type `cdc`)."""
    ((_, _, task),) = resources("AWS::DMS::ReplicationTask")
    assert "cdc" == task["MigrationType"]
    assert "FullLoadSettings" not in task_settings()


def test_large_objects_do_not_travel() -> None:
    """Only keys are read from a record; what DMS would cut at LobMaxSize is left out (target metadata task settings)."""
    target = task_settings()["TargetMetadata"]
    assert target["SupportLobs"] is False
    assert ["SupportLobs"] == [name for name in target if "Lob" in name]


def test_dms_lists_the_tables_that_it_suspends() -> None:
    """Should a policy be changed by hand, the job hears of it (control table task settings)."""
    assert task_settings()["ControlTablesSettings"]["SuspendedTablesTableEnabled"] is True


def test_the_sandbox_honors_the_deployed_policies() -> None:
    """Each policy that the sandbox knows is read from the template, and would else be DMS's default."""
    deployed = settings.load()
    assert dict.fromkeys(settings.POLICIES, "STOP_TASK") == deployed.policies
    assert deployed.lists_suspended
    bare = settings.parse({"TableMappings": {"rules": []}})
    assert {name: default for name, (default, _) in settings.POLICIES.items()} == bare.policies
    assert not bare.lists_suspended


def test_the_example_has_no_time_that_dms_may_cut() -> None:
    """DMS's guide promises milliseconds of DATETIME(1) to (5) and says nothing of (6): three digits are right either way."""
    schema = (ROOT / "sql/source/sport_events.sql").read_text()
    digits = [int(found or 0) for found in re.findall(r"\b(?:datetime|timestamp)(?:\((\d)\))?\s", schema)]
    assert [0, 3, 3] == digits
