"""moto's services in a process of their own: `mock_aws` empties the moto of the process where it is entered.

    python -m tests.moto_server

Says its address on one line of stdout, and ends when its stdin does: with the one who started it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from freshet.cli.context import ROOT


@contextmanager
def moto_server() -> Iterator[str]:
    """Give the address of an empty moto."""
    command = [sys.executable, "-m", "tests.moto_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


def main() -> None:
    """Serve until stdin ends."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
