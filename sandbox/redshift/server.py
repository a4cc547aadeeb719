"""The whole stand-in: PostgreSQL, the workers, and the HTTP server in front of them.

    with Redshift(folder, s3_endpoint_url="http://127.0.0.1:5000") as redshift:
        boto3.client("redshift-data", endpoint_url=redshift.endpoint_url, ...)

Source: AWS JSON 1.1 protocol (X-Amz-Target, `__type` in errors).
"""

import json
import socket
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import boto3
from botocore.config import Config

from sandbox.faults import Fault, Faults
from sandbox.redshift.data_api import DataApi, Json
from sandbox.redshift.errors import ApiError, body_of, invalid
from sandbox.redshift.jobs import Jobs
from sandbox.redshift.postgres import Postgres
from sandbox.redshift.workers import Workers

_TARGET: Final = "RedshiftData."
ADMINISTRATOR: Final = "sandbox"  # the access key that everyone uses who does not play a role
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_FAULTS: Final = frozenset({"lose_response", "delay_s", "throttle"})


class Redshift:
    """One workgroup with one database.

    Args:
        folder: Where everything is kept; what is there is taken up again.
        s3_endpoint_url: Where COPY finds S3; not asked before.
        port: Port of the Data API on 127.0.0.1; 0 takes a free one.
        database: Name of the database.
        workgroup: Name of the workgroup.
        region: Region of the S3 client.
    """

    def __init__(
        self,
        folder: Path,
        s3_endpoint_url: str,
        port: int = 0,
        database: str = "dev",
        workgroup: str = "freshet",
        region: str = "us-east-1",
    ) -> None:
        self.database, self.workgroup = database, workgroup
        self.postgres = Postgres(folder, database)
        self.jobs = Jobs()
        self.faults = Faults()
        self._s3 = (s3_endpoint_url, region)
        self._port = port
        self._workers: Workers | None = None
        self._http: _Server | None = None

    def start(self) -> None:
        """Start everything; returns when it answers. Call it from the main thread (see `Postgres.start`).

        Raises:
            SandboxError: PostgreSQL did not start.
            OSError: The port is taken.
        """
        self.postgres.start()
        try:
            self._workers = Workers(self.postgres, self.jobs, cache(self._s3_client))
            self._http = _Server(self._port, DataApi(self.jobs, self._workers.submit, self.workgroup), self.faults)
            threading.Thread(target=self._http.serve_forever, args=(0.1,), name="redshift-http", daemon=True).start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything; running statements are rolled back."""
        if self._http is not None:
            self._http.end()
            self._http = None
        if self._workers is not None:
            self._workers.stop()
            self._workers = None
        self.postgres.stop()

    @property
    def endpoint_url(self) -> str:
        """Where the Data API is."""
        return f"http://127.0.0.1:{self._http.server_address[1] if self._http else self._port}"

    def describe(self) -> dict[str, str]:
        """Give what a client needs to know."""
        return {
            "endpoint_url": self.endpoint_url,
            "workgroup": self.workgroup,
            "database": self.database,
            "postgres_uri": self.postgres.uri,
        }

    def _s3_client(self) -> Any:
        url, region = self._s3
        config = Config(
            retries={"max_attempts": 3}, connect_timeout=5, read_timeout=30, s3={"addressing_style": "path"}
        )
        return boto3.client(
            "s3",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",  # noqa: S106 - a stand-in checks no signature
            config=config,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Answer(NamedTuple):
    status: int
    body: object
    lost: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, api: DataApi, faults: Faults) -> None:
        self.api, self.faults = api, faults
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Keep the connection, so that `end` can close it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that went away."""

    def end(self) -> None:
        """Stop listening, and close what is open."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed meanwhile

    def operate(self, operation: str, body: bytes, user: str | None) -> _Answer:
        """Answer one call of the Data API, with its fault if one is planned."""
        fault = self.faults.take(operation)
        delay_s = fault.value if fault is not None and fault.fault == "delay_s" else 0.0
        if not operation.endswith("ExecuteStatement"):
            time.sleep(delay_s)  # what submits nothing is itself slow
        if fault is not None and fault.fault == "throttle":
            return _Answer(400, body_of(ApiError("ThrottlingException", "Rate exceeded")))
        try:
            answer = self.api.answer(operation, _request(body), delay_s, user)
        except ApiError as error:
            return _Answer(error.status, body_of(error))
        return _Answer(200, answer, lost=fault is not None and fault.fault == "lose_response")

    def control(self, method: str, body: bytes) -> _Answer:
        """Answer one call of the fault control."""
        if method == "POST":
            try:
                fault = Fault(**json.loads(body))
            except (TypeError, ValueError) as error:
                return _Answer(400, {"error": str(error)})
            if fault.fault not in _FAULTS:
                return _Answer(400, {"error": f"this server injects {', '.join(sorted(_FAULTS))}"})
            self.faults.plan(fault)
        if method == "DELETE":
            self.faults.clear()
        return _Answer(200, self.faults.report())


def _user(authorization: str) -> str | None:
    """Give the database's user for the access key that signed a request, as if the key were a role's name.

    Source: Redshift Management Guide, "Using IAM authentication to generate database user credentials": the user of a role is
    named IAMR: and the role's name.
    """
    key = authorization.partition("Credential=")[2].partition("/")[0]
    return f"IAMR:{key}" if key not in {"", ADMINISTRATOR} else None


def _request(body: bytes) -> Json:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("SerializationException", "the request is not JSON") from None
    if not isinstance(request, dict):
        raise invalid("the request is not an object")
    return request


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement
    wbufsize = -1  # header and body leave together

    def do_POST(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.headers.get("X-Amz-Target", "")
        if self.path == "/_sandbox/faults":
            answer = self.server.control(self.command, body)
        elif target.startswith(_TARGET):
            answer = self.server.operate(
                target.removeprefix(_TARGET), body, _user(self.headers.get("Authorization", ""))
            )
        else:
            answer = _Answer(404, {"__type": "UnknownOperationException", "Message": "this is the Redshift Data API"})
        if answer.lost:
            self.close_connection = True
            return
        content = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Log nothing: a request may hold values."""
