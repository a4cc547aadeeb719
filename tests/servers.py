"""The servers that can stand for RDS MySQL, for tests that shall hold on each.

@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def box(request: pytest.FixtureRequest, ...) -> ...:
    control.start(state, tied=True, mysql=request.param)
"""

from typing import Any

import pytest

from sandbox.mysql_servers import KINDS, MYSQL, available

AVAILABLE = available()
# Every kind: one that this machine lacks is skipped, and the skip says how to get it.
MYSQL_SERVERS = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            kind not in AVAILABLE,
            reason="no MySQL here: `make mysql` fetches one" if kind == MYSQL else f"{kind} is not on this machine",
        ),
    )
    for kind in KINDS
]
SEMI_SYNC_TIMEOUT_MS = 3000


def semi_sync(kind: str) -> list[str]:
    """Give the options with which a commit waits for a replica that does not exist, logged but not yet visible.

    It waits SEMI_SYNC_TIMEOUT_MS once; then the server gives up waiting until `arm_semi_sync`.

    Source: MySQL reference manual, "Configuring semisynchronous replication"; MariaDB, "Semisynchronous replication".
    """
    role = "source" if kind == MYSQL else "master"
    options = [
        f"--rpl-semi-sync-{role}-enabled=ON",
        f"--rpl-semi-sync-{role}-timeout={SEMI_SYNC_TIMEOUT_MS}",
        f"--rpl-semi-sync-{role}-wait-point=AFTER_SYNC",
    ]
    return ["--plugin-load-add=semisync_source.so", *options] if kind == MYSQL else options


def arm_semi_sync(administrator: Any, kind: str) -> None:
    """Let the next commit wait again, on a connection of the administrator."""
    role = "source" if kind == MYSQL else "master"
    with administrator.cursor() as cursor:
        for value in ("OFF", "ON"):
            cursor.execute(f"set global rpl_semi_sync_{role}_enabled = {value}")
