"""The sandbox's AWS endpoint: Kinesis and Glue by our own servers, S3, DynamoDB, Step Functions and others by moto.

    python -m sandbox.aws --state DIR --port 0

Makes the stream, the staging bucket and the secrets, then writes DIR/aws.json. The stream and its records are kept
over restarts; of S3 and Secrets Manager only what is made here, from keys kept in DIR, comes back; of DynamoDB nothing.

Reads:  DIR/mysql.json, for the secret of the MySQL connection; DIR/redshift.json, when a Glue job starts.
Gives:  DIR/aws.json {"endpoint_url", "region", "pid"}.
"""

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends

from sandbox import dynamodb, state_machines
from sandbox.faults import Fault, Faults
from sandbox.glue.api import Glue
from sandbox.glue.errors import GlueError
from sandbox.kinesis.api import Kinesis
from sandbox.kinesis.errors import ExpiredIterator, KinesisError, ProvisionedThroughputExceeded, ResourceInUse
from sandbox.kinesis.shards import NS
from sandbox.kinesis.store import Store
from sandbox.names import ACCESS_KEY, ACCOUNT, BUCKET, MYSQL_SECRET, REGION, STREAM, TOKEN_SECRET
from sandbox.server import DONE_BUT_LOST, Answer, Call, Server, json_answer
from sandbox.state import State, read_json, write_json

KINESIS_TARGET, GLUE_TARGET = "Kinesis_20131202.", "AWSGlue."


class Endpoint:
    """Who answers which call."""

    def __init__(self, kinesis: Kinesis, glue: Glue | None = None, moto: dynamodb.Moto | None = None) -> None:
        self.kinesis, self.glue, self.moto, self.faults = kinesis, glue, moto, Faults()

    def answer(self, call: Call) -> Answer | None:
        """Answer what is not moto's; None for what is."""
        if call.path.startswith("/_sandbox/"):
            return self._control(call)
        service, _, operation = call.target.rpartition(".")
        operation = operation or f"S3.{call.method}"
        fault = self.faults.take(operation)
        if fault and fault.fault == "delay_s":
            time.sleep(fault.value)
        if service + "." == KINESIS_TARGET:
            answer = self._kinesis(operation, call.body, fault)
            return Answer(500, lost=True) if fault and fault.fault == "lose_response" else answer
        if self.glue and service + "." == GLUE_TARGET:
            answer = self._glue(self.glue, operation, call.body, fault)
            return Answer(500, lost=True) if fault and fault.fault == "lose_response" else answer
        if self.glue and call.target == state_machines.STOP_OPERATION:
            state_machines.stop_runs_later(call.body, self.glue.stop)
        if service + "." == dynamodb.TARGET and self.moto:
            own = dynamodb.answer(self.moto, operation, call.body, fault)
            if own is not None:
                return own
        if fault and fault.fault == "throttle":
            return Answer(503, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")
        return DONE_BUT_LOST if fault and fault.fault == "lose_response" else None

    def _kinesis(self, operation: str, body: bytes, fault: Fault | None) -> Answer:
        kind, value = (fault.fault, fault.value) if fault else ("", 0.0)
        try:
            if kind == "throttle":
                raise ProvisionedThroughputExceeded("Rate exceeded (by the sandbox's fault control)")
            if kind == "expire_iterator":
                raise ExpiredIterator("Iterator expired (by the sandbox's fault control)")
            fail_entries = int(value) if kind == "fail_entries" else 0
            return Answer(200, self.kinesis.answer(operation, body, fail_entries, kind == "empty_page"))
        except KinesisError as error:
            return json_error(error.http_status, error.name, str(error))

    @staticmethod
    def _glue(glue: Glue, operation: str, body: bytes, fault: Fault | None) -> Answer:
        if fault and fault.fault == "throttle":
            return json_error(400, "ThrottlingException", "Rate exceeded (by the sandbox's fault control)")
        try:
            return Answer(200, glue.answer(operation, body))
        except GlueError as error:
            return json_error(error.http_status, error.name, str(error))

    def _control(self, call: Call) -> Answer:
        try:
            return self._carry_out(call.method, urlsplit(call.path).path, json.loads(call.body or b"{}"))
        except (ValueError, TypeError, KeyError, KinesisError) as error:
            return json_answer(400, {"message": str(error)})

    def _carry_out(self, method: str, path: str, request: dict[str, Any]) -> Answer:
        match method, path:
            case "POST", "/_sandbox/faults":
                self.faults.plan(Fault(**request))
            case "DELETE", "/_sandbox/faults":
                self.faults.clear()
            case "POST", "/_sandbox/trim":
                store = self.kinesis.store
                below = store.now_ns() - int(float(request["older_than_s"]) * NS)
                return json_answer(200, {"trimmed": store.trim(store.stream(request["stream"]), below)})
            case "GET", "/_sandbox/faults":
                pass
            case _:
                return json_answer(404, {"message": f"the sandbox has no {method} {path}"})
        return json_answer(200, self.faults.report())


def json_error(status: int, name: str, message: str) -> Answer:
    """Answer with an error of a JSON protocol."""
    return Answer(status, json.dumps({"__type": name, "message": message}).encode())


def fetch(url: str) -> bytes:
    """Read an object of moto's S3.

    Raises:
        FileNotFoundError: There is none.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        found = s3_backends[ACCOUNT]["aws"].get_object(bucket, key)
    except MissingBucket:
        found = None
    if found is None:
        raise FileNotFoundError(f"there is no object {key} in bucket {bucket}")
    return bytes(found.value)


def job_environment(state: State) -> dict[str, str]:
    """Give the variables with which a job's process finds this sandbox, as a role's credentials do on AWS."""
    urls = {
        "AWS_ENDPOINT_URL": (read_json(state.aws) or {}).get("endpoint_url"),
        "AWS_ENDPOINT_URL_REDSHIFT_DATA": (read_json(state.redshift) or {}).get("endpoint_url"),
    }
    who = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ACCESS_KEY, "AWS_EC2_METADATA_DISABLED": "true"}
    where = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    return {**who, **where, **{name: url for name, url in urls.items() if url}}


def token_keys(state: State) -> dict[str, Any]:
    """Give the token secret, made at the first call and the same ever after: tokens must not change."""
    file = state.keys / "tokens.json"
    kept = read_json(file)
    if kept is None:
        kept = {"active": "1", "keys": {"1": base64.b64encode(secrets.token_bytes(32)).decode()}}
        write_json(file, kept)
    return kept


def make_secret(name: str, value: dict[str, Any]) -> None:
    """Make a secret in moto, or replace its value."""
    backend, text = secretsmanager_backends[ACCOUNT][REGION], json.dumps(value)
    backend.create_secret(
        name=name, secret_string=text, secret_binary=None, description=None, tags=[], kms_key_id=None,
        client_request_token=None, replica_regions=[], force_overwrite=False,
    )  # fmt: skip


def mysql_secret(state: State) -> dict[str, Any]:
    """Give the MySQL connection in the form of an RDS secret."""
    mysql = read_json(state.mysql_connection) or {}
    return {
        "engine": "mysql", "host": mysql.get("host"), "port": mysql.get("port"), "username": mysql.get("user"),
        "password": mysql.get("password"), "dbname": mysql.get("database"), "ssl_ca": mysql.get("tls_ca"),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.aws", description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--shards", type=int, default=2, help="shards of a new stream")
    options = parser.parse_args(arguments)
    state = State(options.state)
    state.make()

    store = Store(state.kinesis)
    jobs = state.logs / "glue"
    jobs.mkdir(exist_ok=True)
    glue = Glue(fetch, lambda: job_environment(state), jobs)
    moto = DomainDispatcherApplication(create_backend_app)
    endpoint = Endpoint(Kinesis(store, REGION), glue, moto)
    with contextlib.suppress(ResourceInUse):
        store.create(STREAM, f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}", options.shards)
    make_secret(TOKEN_SECRET, token_keys(state))
    make_secret(MYSQL_SECRET, mysql_secret(state))
    s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, REGION)

    server = Server(options.port, endpoint.answer, moto)

    state_machines.interpret(server.port)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    write_json(state.aws, {"endpoint_url": f"http://127.0.0.1:{server.port}", "region": REGION, "pid": os.getpid()})
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        glue.stop()
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
