"""One sandbox for the tests of DMS."""

from collections.abc import Iterator

import pytest

from sandbox import control
from tests.conformance.dms.box import Box


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    state = tmp_path_factory.mktemp("dms")
    box = Box(state)
    yield box
    box.kinesis.close()
    control.stop(state)
