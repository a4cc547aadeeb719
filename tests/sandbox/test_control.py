"""A sandbox starts whole, stops without a rest, and remembers what it should."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from sandbox import control, processes
from sandbox.errors import SandboxError
from sandbox.state import State, read_json
from tests.patience import HANGS_S


def processes_of(state: Path) -> list[list[str]]:
    """List the processes that name a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if any(str(state) in word for word in command):
            found.append(command)
    return found


def wait_until_gone(state: Path) -> None:
    until = time.monotonic() + HANGS_S
    while left := processes_of(state):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def client(endpoints: dict[str, Any], service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoints["aws"]["endpoint_url"],
        region_name=endpoints["aws"]["region"],
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )


def secret(endpoints: dict[str, Any], name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        client(endpoints, "secretsmanager").get_secret_value(SecretId=endpoints[name])["SecretString"]
    )
    return value


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "box"
    control.stop(tmp_path / "box")


def test_a_restart_forgets_nothing_that_matters(state: Path) -> None:
    """After kill -9 no part stays; started again, records, token key, passwords and addresses are the same."""
    told: list[str] = []
    first = control.start(state, on_progress=told.append)
    parts = {line.split(" is ready")[0] for line in told if " is ready" in line}  # the order is the machine's
    assert {"MySQL", "DMS", "Redshift", "Kinesis, S3, Glue and the others"} == parts
    stream = first["stream"]
    sequence = client(first, "kinesis").put_record(StreamName=stream, Data=b"kept", PartitionKey="k")["SequenceNumber"]
    tokens, mysql = secret(first, "token_secret"), secret(first, "mysql_secret")
    assert (mysql["host"], mysql["port"]) == (first["mysql"]["host"], first["mysql"]["port"])
    assert "freshet-staging" in [b["Name"] for b in client(first, "s3").list_buckets()["Buckets"]]
    assert first == control.start(state), "a second start finds the running one"
    os.kill(int(State(state).lock.read_text()), signal.SIGKILL)
    wait_until_gone(state)
    # The supervisor's number may belong to another process by now: here, to this one.
    State(state).lock.write_text(str(os.getpid()))
    assert control.status(state) == {"running": False}

    second = control.start(state)
    assert {**first, "redshift": None} == {**second, "redshift": None}
    assert first["redshift"]["endpoint_url"] == second["redshift"]["endpoint_url"]
    assert (tokens, mysql) == (secret(second, "token_secret"), secret(second, "mysql_secret"))
    kinesis, found = client(second, "kinesis"), []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        place = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found += [record["SequenceNumber"] for record in kinesis.get_records(ShardIterator=place)["Records"]]
    assert sequence in found
    assert [0o700] * 2 == [folder.stat().st_mode & 0o777 for folder in (state, state / "keys")]

    assert control.stop(state)
    assert control.status(state) == {"running": False}
    assert processes_of(state) == []
    (state / "somebody-elses").write_text("stays")
    control.reset(state)
    assert [path.name for path in state.iterdir()] == ["somebody-elses"]


def test_a_tied_sandbox_ends_with_the_one_who_started_it(state: Path) -> None:
    """Even kill -9 of the starter ends everything."""
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up", "--tied", "--json", "--state", str(state)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=processes.environment(),
    ) as starter:  # fmt: skip
        assert starter.stdout
        assert json.loads(starter.stdout.readline())["running"]
        starter.kill()
        starter.wait()
    wait_until_gone(state)


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_start_leaves_nothing(state: Path, with_signal: signal.Signals) -> None:
    """While the parts start, an interruption of any kind ends them all."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up", "--state", str(state)], env=processes.environment()
    )
    while not (read_json(State(state).status) or {}).get("services"):
        time.sleep(0.01)
    starter.send_signal(with_signal)
    assert starter.wait() != 0
    wait_until_gone(state)


def test_a_part_that_cannot_start_is_named(state: Path) -> None:
    """The error names the part and its log, and nothing else stays running."""
    State(state).make()
    State(state).kinesis.write_text("this is no database")
    with pytest.raises(SandboxError, match=r"Kinesis.*aws\.log"):
        control.start(state)
    wait_until_gone(state)


def test_the_command_line(state: Path) -> None:
    """up, status, down: exit code 0, one JSON object on the last line."""

    def run(*words: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", *words, "--json", "--state", str(state)],
            env=processes.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    assert run("status") == {"running": False}
    endpoints = run("up")
    status = run("status")
    assert endpoints.items() <= status.items()
    assert {"file", "position", "delivered", "skipped", "suspended", "problem"} == status["dms"].keys()
    assert set(control.environment(endpoints)) >= {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_REGION"}
    control.stop_service(state, "dms")
    assert run("status")["services"]["dms"]["state"] == "stopped"
    control.start_service(state, "dms")
    assert run("down") == {"running": False}
    assert run("down") == {"running": False}
