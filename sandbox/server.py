"""One HTTP/1.1 server that keeps connections open: our own handlers first, a WSGI application for the rest.

werkzeug's development server closes every connection, which costs more than the answer.
"""

import io
import json
from collections.abc import Callable, Iterable
from http.server import ThreadingHTTPServer
from typing import Any, NamedTuple

from moto.moto_server.werkzeug_app import MotoRequestHandler


class Answer(NamedTuple):
    """What goes back; `lost` means that the connection is closed instead."""

    status: int
    body: bytes = b""
    content_type: str = "application/x-amz-json-1.1"
    lost: bool = False


# The WSGI application carries the call out, and its answer never arrives.
DONE_BUT_LOST = Answer(0, lost=True)


class Call(NamedTuple):
    """What came in."""

    method: str
    path: str
    target: str
    body: bytes


def json_answer(status: int, value: object) -> Answer:
    """Answer with a JSON value."""
    return Answer(status, json.dumps(value).encode(), "application/json")


Own = Callable[[Call], Answer | None]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Server(ThreadingHTTPServer):
    """Answers calls by `own`, or by `wsgi` where `own` gives None."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, own: Own, wsgi: Wsgi) -> None:
        self.own, self.wsgi = own, wsgi
        # Asked for by werkzeug's request handler, whose environ this server uses.
        self.multithread, self.multiprocess, self.ssl_context, self.passthrough_errors = True, False, None, False
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])


class _Handler(MotoRequestHandler):
    server: Server  # type: ignore[assignment]  # not werkzeug's own server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request; werkzeug's handler calls this for every method."""
        body = self._read_body()
        call = Call(self.command, self.path, self.headers.get("X-Amz-Target", ""), body)
        answer = self.server.own(call)
        if answer is None or answer is DONE_BUT_LOST:
            self._answer_wsgi(body, lost=answer is DONE_BUT_LOST)
        elif answer.lost:
            self.close_connection = True
        else:
            self._write(
                f"{answer.status} Sandbox",
                [("Content-Type", answer.content_type), ("x-amzn-RequestId", "0")],
                answer.body,
            )

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write no line a request."""

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return bytes(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _answer_wsgi(self, body: bytes, lost: bool) -> None:
        environ = self.make_environ()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
            started[:] = [(status, headers)]

        chunks = self.server.wsgi(environ, start_response)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close:
                close()
        if lost:
            self.close_connection = True
        else:
            self._write(*started[0], content)

    def _write(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        bare = self.command == "HEAD" or status[:3] in {"204", "304"}
        if not (has_length and bare):
            headers = [header for header in headers if header[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(content))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers if name.lower() != "connection")
        self.wfile.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + (b"" if bare else content))
