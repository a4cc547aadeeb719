"""What the parts of a stack on AWS are doing, for `freshet status --aws`.

Each part is read by itself: what cannot be read says why, and hides nothing of the others.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from freshet.deploy.account import Account, explain
from freshet.deploy.dms import read_task
from freshet.deploy.glue import read_runs

Part = dict[str, Any]
WINDOW = timedelta(minutes=10)
QUIET = " (tells nobody until `freshet deploy` has started DMS and the job)"
IN_ERROR = "Table error"


def read_state(account: Account, outputs: Mapping[str, str]) -> dict[str, Any]:
    """Read capture, stream, job and alarms.

    Returns:
        {"capture": {...}, "stream": {...}, "job": {...}, "alarms": [...]}; a part that cannot be read has `problem`.
        Times are ISO 8601; latencies and ages in seconds, None when CloudWatch has none of the last ten minutes.
    """
    parts: dict[str, Callable[[], Any]] = {
        "capture": lambda: _capture(account, outputs["ReplicationTaskArn"]),
        "stream": lambda: _stream(account, outputs["StreamName"]),
        "job": lambda: _job(account.client("glue"), outputs["StreamingJobName"]),
        "alarms": lambda: _alarms(account.client("cloudwatch"), outputs["AlarmPrefix"]),
    }
    return {name: _or_problem(read) for name, read in parts.items()}


def _or_problem(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ClientError as error:
        return {"problem": explain(error)}
    except BotoCoreError as error:
        return {"problem": f"AWS did not answer ({type(error).__name__})"}


def _capture(account: Account, arn: str) -> Part:
    dms = account.client("dms")
    task = read_task(dms, arn)
    if task is None:
        return {"problem": "the DMS task is gone"}
    statistics = task.get("ReplicationTaskStats", {})
    part: Part = {
        "task": task["ReplicationTaskIdentifier"],
        "status": task["Status"],
        "full_load_percent": statistics.get("FullLoadProgressPercent"),
        "tables_errored": statistics.get("TablesErrored", 0),
        "tables_in_error": _tables_in_error(dms, arn),
        "reason": task.get("LastFailureMessage") or task.get("StopReason"),
    }
    instances = dms.describe_replication_instances(
        Filters=[{"Name": "replication-instance-arn", "Values": [task["ReplicationInstanceArn"]]}]
    )["ReplicationInstances"]
    dimensions = {
        "ReplicationInstanceIdentifier": instances[0]["ReplicationInstanceIdentifier"] if instances else "",
        "ReplicationTaskIdentifier": arn.rpartition(":")[2],
    }
    asked = {name: ("AWS/DMS", metric, dimensions) for name, metric in
             (("latency_source_s", "CDCLatencySource"), ("latency_target_s", "CDCLatencyTarget"))}  # fmt: skip
    return part | _latest(account.client("cloudwatch"), asked)


def _tables_in_error(dms: Any, arn: str) -> list[str]:
    """Name the tables that DMS no longer replicates. Source: DMS API reference, "TableStatistics" (TableState)."""
    found: list[Part] = []
    marker: dict[str, str] = {}
    while True:
        page = dms.describe_table_statistics(ReplicationTaskArn=arn, **marker)
        found += [t for t in page.get("TableStatistics", ()) if t.get("TableState") == IN_ERROR]
        if not page.get("Marker"):
            return [f"{table['SchemaName']}.{table['TableName']}" for table in found]
        marker = {"Marker": page["Marker"]}


def _stream(account: Account, name: str) -> Part:
    found = account.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    age = _latest(
        account.client("cloudwatch"),
        {"age_ms": ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", {"StreamName": name})},
    )["age_ms"]
    return {
        "stream": name,
        "status": found["StreamStatus"],
        "shards": found["OpenShardCount"],
        "retention_h": found["RetentionPeriodHours"],
        "iterator_age_s": None if age is None else round(age / 1000, 1),
    }


def _job(glue: Any, name: str) -> Part:
    runs = read_runs(glue, name)
    newest = runs.newest
    started = newest.get("StartedOn")
    return {
        "job": name,
        "status": newest.get("JobRunState", "never started"),
        "run": newest.get("Id"),
        "started": started.isoformat() if started else None,
        "worker_type": newest.get("WorkerType") or runs.job.get("WorkerType"),
        "workers": newest.get("NumberOfWorkers") or runs.job.get("NumberOfWorkers"),
        "error": newest.get("ErrorMessage"),
        "old_code": bool(runs.live) and bool(started) and started < runs.job["LastModifiedOn"],
    }


def _alarms(cloudwatch: Any, prefix: str) -> list[Part]:
    order = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"])
    found = [
        {
            "alarm": alarm["AlarmName"],
            "state": alarm["StateValue"],
            "since": alarm["StateUpdatedTimestamp"].isoformat() if alarm.get("StateUpdatedTimestamp") else None,
            "means": alarm.get("AlarmDescription", "") + ("" if alarm.get("ActionsEnabled", True) else QUIET),
        }
        for page in pages
        for alarm in page["MetricAlarms"]
    ]
    return sorted(found, key=lambda alarm: (order.get(alarm["state"], 1), alarm["alarm"]))


def _latest(cloudwatch: Any, asked: Mapping[str, tuple[str, str, Mapping[str, str]]]) -> dict[str, float | None]:
    """Give each metric's newest value of the last minutes: by our name, (namespace, metric, dimensions)."""
    now = datetime.now(UTC)
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
        }
        for number, (namespace, metric, dimensions) in enumerate(asked.values())
    ]
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=now - WINDOW, EndTime=now, ScanBy="TimestampDescending"
    )
    values = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
    return {name: next(iter(values.get(f"m{number}", ())), None) for number, name in enumerate(asked)}
