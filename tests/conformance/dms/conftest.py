"""One sandbox a server for the tests of DMS."""

from collections.abc import Iterator

import pytest

from sandbox import control
from tests.conformance.dms.box import Box
from tests.servers import MYSQL_SERVERS


@pytest.fixture(scope="session", params=MYSQL_SERVERS)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    state = tmp_path_factory.mktemp("dms")
    box = Box(state, request.param)
    yield box
    box.kinesis.close()
    control.stop(state)
