"""What `freshet deploy` waits for is read from the ledger as the job really writes it."""

import importlib
from pathlib import Path

from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.deploy.start import Work
from tests.river import River

# The package `freshet.cli` shows the command of the same name.
reader = importlib.import_module("freshet.cli.deploy").reader


def test_the_ledger_tells_starts_and_batches(place: Place, spark: SparkSession, tmp_path: Path) -> None:
    """Nothing before there is a ledger; each run is one more start, each commit one more batch."""
    river = River(place, spark, tmp_path, own_stream=True)
    river.simulate("initial", "--events", "1", "--tickets_per_event", "4", "--customers", "2")
    read = reader(place, river.name)
    assert Work() == read()
    river.put(river.sale(1, 1))
    river.drain()
    first = read()
    assert Work(1, 1) == first
    river.drain()
    assert Work(1, 2) == read()
