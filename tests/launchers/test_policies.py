"""Policies equal calls: the deployed jobs run with the template's own arguments, each as its role, and what they call is allowed.

botocore's events tell every call, with the place in the code and the host; things of the sandbox play those of the stack.
"""

import base64
import fnmatch
import json
import re
import secrets
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import ROOT, Place
from streaming_job.evaluate import SMALL_ROUND
from tests.cloudformation.templates import lines, listed, template
from tests.faults.control import inject
from tests.launchers.call_sites import call_sites, untaken
from tests.launchers.conftest import Function, Glue, Shell
from tests.launchers.deployed import ACCOUNT, JOBS, LAUNCHERS, REGION, Deployed
from tests.launchers.test_streaming_launcher import GLUES
from tests.patience import HANGS_S
from tests.river import River

SCRIPT = LAUNCHERS / "streaming_cdc_kinesis2redshift.py"
TEMPLATES = dict.fromkeys(JOBS.values(), "jobs") | {
    "RunSqlRole": "workflows", "LoadRole": "workflows", "ExportRole": "serving", "PullRole": "serving",
}  # fmt: skip
UNTIL_IDLE = ("--until_idle", "true", "--every_s", "0.4")
SIZES = {
    "InitialJob": ["--events", "2", "--tickets_per_event", "10", "--customers", "5"],
    "IncrementalJob": ["--for", "1"],
}
# The code that runs as a role; what all jobs share is listed once, below the empty name.
PACKAGES = {
    "StreamingRole": ("streaming_job/*.py", "freshet/pipeline/*.py", "freshet/ledger/*.py"),
    "BootstrapRole": ("cloudformation/bootstrap.py",),
    "SimulatorRole": ("simulators/shop/*.py", "simulators/initial.py", "simulators/incremental.py", "simulators/upsert.py"),
    "RunSqlRole": ("batch_jobs/run_sql/*.py",), "LoadRole": ("batch_jobs/load/*.py",),
    "ExportRole": ("batch_jobs/export_dynamodb/*.py",), "PullRole": ("batch_jobs/pull/*.py",),
    "": ("freshet/redshift/*.py", "cloudformation/launchers/*.py"),
}  # fmt: skip
# Places that no run here comes through; what is called there is called from another place too, and that one is taken.
NOT_TAKEN = {
    # The job would have to be half a retention behind; every start makes the same call.
    "streaming_job/job.py _check_retention: check_retention",
    "streaming_job/job.py _read_pages: _check_retention",
    # One pipeline of several would have to be left out of a read; every start makes the same call.
    "streaming_job/job.py _round: start",
    # `tokenize` inside another function of the SELECT; the outermost one asks for the same key.
    "freshet/pipeline/spark.py tokenize: key_of",
}
# What an endpoint answers for, if not NAME.REGION.amazonaws.com; a gateway leads wherever the service is. Sources: VPC user
# guide, "Gateway endpoints"; Kinesis Data Streams developer guide, "Using Kinesis Data Streams with interface VPC endpoints".
ANSWERS_FOR = {
    "kinesis-streams": [f"kinesis.{REGION}.amazonaws.com"],
    "s3": [f"s3.{REGION}.amazonaws.com", f"*.s3.{REGION}.amazonaws.com", "s3.amazonaws.com", "*.s3.amazonaws.com"],
    "dynamodb": [f"dynamodb.{REGION}.amazonaws.com", f"*.ddb.{REGION}.amazonaws.com"],
}


@pytest.fixture(scope="module")
def deployed(
    place: Place, spark: SparkSession, glue: Glue, shell: Shell, function: Function, source_admin: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:  # fmt: skip
    """Every job has run once, in the order of a deployment, and the streaming job has worked."""
    folder = tmp_path_factory.mktemp("deployed")
    river = River(place, spark, folder)
    deployed = Deployed(place, river, folder, glue, shell)
    run_shell = deployed.run_shell
    s3, manager, kinesis = place.client("s3"), place.client("secretsmanager"), place.client("kinesis")
    streaming = deployed.arguments("StreamingJob")

    def upload(file: str, url: str) -> None:
        s3.upload_file(file, deployed.bucket, url.removeprefix(f"s3://{deployed.bucket}/"))

    for name in ("select.sql", "pipeline.yaml"):
        upload(str(river.folder / name), f"{streaming['--pipeline_folders']}/{name}")
    upload(place.endpoints["mysql"]["tls_ca"], streaming["--source_ca"])
    copy = {"Bucket": deployed.bucket, "Key": shell.bundle.removeprefix(f"s3://{deployed.bucket}/")}
    target = deployed.arguments("BootstrapJob")["--bundle"].removeprefix(f"s3://{deployed.bucket}/")
    s3.copy_object(Bucket=deployed.bucket, Key=target, CopySource=copy)
    where = {"host": source_admin["host"], "port": source_admin["port"], "dbname": river.database}
    contents = {
        "admin_secret": {**source_admin, **where}, "warehouse_secret": {"username": "admin", "password": "any"},
        "replication_secret": {**where, "username": f"{deployed.stack}_dms", "password": secrets.token_hex(16)},
        "reader_secret": {**where, "username": f"{deployed.stack}_reader", "password": secrets.token_hex(16)},
    }  # fmt: skip
    for name, content in contents.items():
        manager.create_secret(Name=f"{deployed.stack}/{name}", SecretString=json.dumps(content))
    manager.create_secret(Name=f"{deployed.stack}/token_secret")

    run_shell("BootstrapJob")
    run_shell("InitialJob", *SIZES["InitialJob"])
    run_shell("IncrementalJob", *SIZES["IncrementalJob"])
    with river.mysql() as mysql, mysql.cursor() as cursor:
        cursor.execute("select ticket_id, purchased_by from ticket_activity")
        ((ticket, customer),) = cursor.fetchall()
    run_shell("UpsertJob", "--ticket_id_to_be_updated", str(ticket))

    river.stream = streaming["--stream"]
    kinesis.create_stream(StreamName=river.stream, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=river.stream, WaiterConfig={"Delay": 1})
    river.put(river.sale(ticket, customer))
    _keep_current(deployed)
    base = f"freshet/{deployed.stack}/sql/0123456789abcdef"
    s3.put_object(
        Bucket=deployed.bucket,
        Key=f"{base}/workflows/sums/sum.sql",
        Body=f"create table public.sums_{deployed.stack} as select count(*) as n from public.{river.name};".encode(),
    )
    run_shell("RunSqlJob", "--file", f"{base}/workflows/sums/sum.sql", "--commit", "each")
    _stop(deployed, f"{base}/workflows/sums/more.sql")
    _load(deployed, f"{base}/loads/l.json")
    _hand_out(deployed, function)
    deployed.ledger = river.ledger()
    _sweep_in_tasks(deployed)
    return deployed


def _keep_current(deployed: Deployed) -> None:
    """Run the streaming job twice: an iterator expires; then a position is old, and somebody asks for a sweep."""
    inject(deployed.place.endpoints["aws"]["endpoint_url"], operation="GetRecords", fault="expire_iterator", times=1)
    deployed.run_spark("StreamingJob", SCRIPT, *UNTIL_IDLE)
    positions = f"freshet.{deployed.river.name}_positions"
    deployed.river.warehouse_run(
        f"update {positions} set proved_at = proved_at - interval '2 days' where kind = 'AFTER'"
    )
    prefix = deployed.ask_for_a_sweep()
    deployed.run_spark("StreamingJob", SCRIPT, *UNTIL_IDLE)
    left = deployed.place.client("s3").list_objects_v2(Bucket=deployed.bucket, Prefix=prefix).get("Contents", [])
    assert [] == [each["Key"] for each in left]


def _sweep_in_tasks(deployed: Deployed) -> None:
    """Let the streaming job sweep more rows than its driver reads alone, over a stream that was split and holds rubbish."""
    rows = ", ".join(["(1, 'Standard', 'S001-01', 1)"] * (SMALL_ROUND + 1))
    deployed.river.run_sql(
        f"insert into ticket (event_id, seat_level, seat_location, ticket_price) values {rows}",
        "insert ignore into ticket_activity select ticket_id, 1, '2024-07-29', '2024-07-29' from ticket",
    )
    kinesis, stream = deployed.place.client("kinesis"), deployed.river.stream
    shard = kinesis.list_shards(StreamName=stream)["Shards"][0]
    middle = (int(shard["HashKeyRange"]["StartingHashKey"]) + int(shard["HashKeyRange"]["EndingHashKey"])) // 2
    kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
    kinesis.put_record(StreamName=stream, PartitionKey="1", Data=b"not json at all")
    deployed.ask_for_a_sweep()
    deployed.run_spark("StreamingJob", SCRIPT, *UNTIL_IDLE)


def _stop(deployed: Deployed, key: str) -> None:
    """Tell a job of SQL to stop while its statement waits for another transaction."""
    table = f"public.sums_{deployed.stack}"
    deployed.place.client("s3").put_object(
        Bucket=deployed.bucket, Key=key, Body=f"insert into {table} values (2);".encode()
    )
    calls = deployed.folder / "RunSqlJob.calls"
    with psycopg.connect(deployed.place.endpoints["redshift"]["postgres_uri"]) as other:
        other.execute(f"lock table {table}")  # type: ignore[arg-type]
        with deployed.start_shell("RunSqlJob", "--file", key) as run:
            until = time.monotonic() + HANGS_S
            while "execute.py" not in (calls.read_text() if calls.exists() else "") and time.monotonic() < until:
                time.sleep(0.1)
            run.send_signal(signal.SIGTERM)
            said = "".join(run.communicate(timeout=HANGS_S))
        assert said.strip().endswith("(exit code 130)"), said
    deployed.note("RunSqlJob")


def _load(deployed: Deployed, key: str) -> None:
    """Load a good file, a bad one beside another, and the first one once more."""
    s3, table = deployed.place.client("s3"), f"public.l_{deployed.stack}"
    load = {"name": f"l_{deployed.stack}", "prefix": f"currents/{deployed.stack}/", "format": "csv", "target": table,
            "table": f"create table if not exists {table} (id integer, batch varchar(36))", "replace": "batch"}  # fmt: skip
    s3.put_object(Bucket=deployed.bucket, Key=key, Body=json.dumps(load).encode())
    words = ("--definition", f"s3://{deployed.bucket}/{key}")

    def put(name: str, body: bytes) -> None:
        s3.put_object(Bucket=deployed.bucket, Key=f"{load['prefix']}{name}", Body=body)

    put("one.csv", b"1\n2\n")
    deployed.run_shell("LoadJob", *words)
    put("bad.csv", b"x\n")
    put("more.csv", "".join(f"{number}\n" for number in range(3, 15)).encode())
    deployed.run_shell("LoadJob", *words, code=1)
    put("one.csv", b"1\n2\n2\n")
    deployed.run_shell("LoadJob", *words, "--reload", "one.csv")


def _hand_out(deployed: Deployed, function: Function) -> None:
    """Export the pipeline's table; then another one slowly, and again when a key of it is gone; and pull the first."""
    name = deployed.river.name
    _export(deployed, f"public.{name}", "ticket_id", 1000)
    loaded = f"public.l_{deployed.stack}"
    _export(deployed, loaded, "id", 4, "--hold_s", "2")
    deployed.river.warehouse_run(f"delete from {loaded} where id = 3")
    deployed.river.warehouse_run(f"insert into {loaded} values (4)")
    _export(deployed, loaded, "id", 1000, "--incremental", "true")
    cursor = {"cursor": "_freshet_commit", "pipeline": name, "keys": ["ticket_id"]}
    variables = deployed.jobs["PullFunction"]["Properties"]["Environment"]["Variables"]
    (answer,) = function.calls(
        {"p": {"tables": {f"public.{name}": cursor}}}, {"state": {}, "secrets": {}}, **deployed.environment("PullFunction"),
        **{variable: deployed.played.get(value, value) for variable, value in variables.items()},
    )  # fmt: skip
    deployed.note("PullFunction")
    deployed.pulled = answer["insert"][name]


def _export(deployed: Deployed, source: str, key: str, units_per_s: int, *more: str) -> None:
    """Export a table of Redshift, into the only table of DynamoDB that the stack knows."""
    place, table = deployed.place, f"items-{deployed.stack}"
    folder = f"{deployed.stacks['']['Outputs']['SqlPrefix']}/exports/{key}"
    dynamodb, s3 = place.client("dynamodb"), place.client("s3")
    known = dynamodb.list_tables()["TableNames"]
    there = dynamodb.describe_table(TableName=table)["Table"]["KeySchema"][0]["AttributeName"] if table in known else ""
    if there not in ("", key):
        deployed.handed_out = dynamodb.scan(TableName=table)["Items"]
        dynamodb.delete_table(TableName=table)
    if there != key:
        dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "N"}],
        )  # fmt: skip
    export = {"source": source, "table": table, "key": key, "write_units_per_s": units_per_s, "parts": 1}
    s3.put_object(Bucket=deployed.bucket, Key=f"{folder}/export.yaml", Body=json.dumps(export).encode())
    words = ("--export_folder", f"s3://{deployed.bucket}/{folder}", *more, *GLUES)
    deployed.run_spark("ExportJob", LAUNCHERS / "export_dynamodb.py", *words)


def test_the_jobs_did_their_work(deployed: Deployed) -> None:
    """As their own roles and users: a record arrived, and the keys are those that the bootstrap job made."""
    ledger = deployed.ledger
    assert (1, 1, 0) == (ledger["received"], ledger["written"], ledger["pending"])
    kept = deployed.place.client("secretsmanager").get_secret_value(SecretId=f"{deployed.stack}/token_secret")[
        "SecretString"
    ]
    assert 32 == len(base64.b64decode(json.loads(kept)["keys"]["1"]))
    for made, rows in ((f"sums_{deployed.stack}", 1), (f"l_{deployed.stack}", 15)):
        assert [{"n": rows}] == deployed.river.warehouse_rows(f"select count(*) as n from {made}")
    owner = deployed.river.warehouse_rows(f"select tableowner from pg_tables where tablename = '{deployed.river.name}'")
    assert [{"tableowner": f"IAMR:{deployed.stack}-us-east-1-streaming"}] == owner
    items = deployed.handed_out
    assert [item["ticket_id"]["N"] for item in items] == [str(row["ticket_id"]) for row in deployed.pulled]
    assert 1 == len(items)
    later = deployed.place.client("dynamodb").scan(TableName=f"items-{deployed.stack}")["Items"]
    counts = {int(item["id"]["N"]): len(item["items"]["L"]) for item in later}
    assert {**dict.fromkeys([1, *range(5, 15)], 1), 2: 2, 4: 2} == counts


@pytest.mark.parametrize("role", sorted(set(JOBS.values())))
def test_every_call_is_allowed(deployed: Deployed, role: str) -> None:
    """Action, resource and condition, in the names of the stack; a role that lacks a right would fail on AWS only."""
    rights = deployed.rights(role)
    needed = {(a, r, tuple(c.items())) for call in deployed.calls[role] for a, r, c in deployed.needs(call)}
    assert len(needed) >= 3
    refused = [need for need in needed if not any(right.covers(need[0], need[1], dict(need[2])) for right in rights)]
    assert [] == refused


def code_of(patterns: Sequence[str]) -> dict[str, Path]:
    """Give files by the names under which the recorder knows them."""
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return {
        re.sub(r"^(cloudformation/(launchers/)?|simulators/)", "", str(path.relative_to(ROOT))): path for path in found
    }


def test_every_place_that_calls_aws_was_at_work(deployed: Deployed) -> None:
    """A branch that no run comes through may call what its role may not do: the first bad file would tell."""
    everywhere = [call for calls in deployed.calls.values() for call in calls]
    left = {
        role: untaken(call_sites(code_of(files)), deployed.calls.get(role, everywhere))
        for role, files in PACKAGES.items()
    }
    assert sorted(NOT_TAKEN) == sorted(site for sites in left.values() for site in sites)


def test_what_can_be_stopped_may_cancel(deployed: Deployed) -> None:
    """A role whose code waits for Redshift until it is told to stop may cancel the statement; no other role may."""
    for role in sorted(set(JOBS.values())):
        texts = [path.read_text() for path in code_of(PACKAGES[role]).values()]
        stops = any(re.search(r"warehouse\.run\w*\([^)]*stopping=", text) for text in texts)
        assert stops == any(
            right.covers("redshift-data:CancelStatement", "*", {}) for right in deployed.rights(role)
        ), role


def hosts_that_are_covered(deployed: Deployed) -> list[str]:
    """Name the hosts that the endpoints of the stack answer for."""
    made = [
        str(one["Properties"]["ServiceName"]).rpartition(".")[2]
        for one in deployed.stacks["Network"]["Resources"].values()
        if one["Type"] == "AWS::EC2::VPCEndpoint"
    ]
    assert len(made) > 5
    return [host for name in made for host in ANSWERS_FOR.get(name, [f"{name}.{REGION}.amazonaws.com"])]


@pytest.mark.parametrize("role", sorted(set(JOBS.values()) - {"PullRole"}))  # the function is in no VPC
def test_every_host_has_a_way(deployed: Deployed, role: str) -> None:
    """There is no way to the internet: a host for which no endpoint answers is never reached; botocore's rules choose it."""
    covered = hosts_that_are_covered(deployed)
    assert deployed.hosts[role]
    assert [] == [host for host in deployed.hosts[role] if not any(fnmatch.fnmatch(host, name) for name in covered)]
    assert not any(fnmatch.fnmatch(f"{ACCOUNT}.data-kinesis.{REGION}.amazonaws.com", name) for name in covered)


@pytest.mark.parametrize("role", sorted(set(JOBS.values())))
def test_every_right_is_used_or_explained(deployed: Deployed, role: str) -> None:
    """An allowed action that no call needs says on its line why it is there; a whole statement, on the line of its Sid."""
    used = {action for call in deployed.calls[role] for action, _, _ in deployed.needs(call)}
    unexplained = []
    for policy in template(TEMPLATES[role])["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = listed(statement["Action"])
            for action in actions:
                mark = action if used & set(actions) else statement["Sid"]
                if action not in used and "#" not in lines(TEMPLATES[role])[mark.start_mark.line]:
                    unexplained.append((statement["Sid"], str(action)))
    assert [] == unexplained


def test_a_call_that_is_not_allowed_would_be_seen(deployed: Deployed) -> None:
    """The test's own eye: another bucket, another stream, another secret, another namespace, another action."""
    rights = deployed.rights("StreamingRole")

    def allowed(action: str, resource: str, **context: str) -> bool:
        return any(right.covers(action, resource, context) for right in rights)

    staged = f"arn:aws:s3:::{deployed.bucket}/freshet/{deployed.stack}/staging/x"
    assert allowed("s3:PutObject", staged)
    assert not allowed("s3:PutObject", staged.replace(deployed.stack, "other"))
    assert not allowed("s3:ListBucket", f"arn:aws:s3:::{deployed.bucket}")
    assert not allowed("s3:GetObject", staged)
    requests = f"freshet/{deployed.stack}/staging/orders/requests/"
    assert allowed("s3:ListBucket", f"arn:aws:s3:::{deployed.bucket}", **{"s3:prefix": requests})
    assert not allowed(
        "s3:ListBucket", f"arn:aws:s3:::{deployed.bucket}", **{"s3:prefix": f"freshet/{deployed.stack}/"}
    )
    assert not allowed("kinesis:GetRecords", "arn:aws:kinesis:us-east-1:123456789012:stream/other")
    assert not allowed(
        "kinesis:PutRecords", f"arn:aws:kinesis:us-east-1:123456789012:stream/cdc-sample-{deployed.stack}"
    )
    assert not allowed("secretsmanager:GetSecretValue", deployed.arguments("BootstrapJob")["--admin_secret"])
    assert not allowed("cloudwatch:PutMetricData", "*", **{"cloudwatch:namespace": "Other"})
