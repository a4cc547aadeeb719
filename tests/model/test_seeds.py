"""Whatever happens to source, stream, jobs and warehouse: each target equals its SELECT."""

import pytest

from tests.model.simulation import count, run

SEEDS = 1_000
SEEDS_PER_TEST = 50
# Seeds that failed once. 579: a quarantined row vanished without a record, and no side of a sweep came by its key. The others
# were mistakes of the model.
FAILED_ONCE = (31, 39, 107, 325, 415, 579)
FAULTS = {
    "kill",
    "zombie",
    "late statement",
    "lost answer",
    "DMS restart",
    "reshard",
    "cut record",
    "read from a replica",
    "pipeline failed",
    "memory full",
    "statement cut off",
    "truncate",
    "swap",
    "failover",
    "unlogged",
}


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST))
def test_every_target_equals_its_select(first: int) -> None:
    """Under all faults at once; a shard of seeds that left one fault out would prove less."""
    results = [run(seed) for seed in range(first, first + SEEDS_PER_TEST)]
    assert [] == [result.tell() for result in results if result.verdict != "ok"]
    assert set() == FAULTS - {fault for fault, times in count(results).items() if times}


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_a_seed_that_failed_once_does_not_again(seed: int) -> None:
    """They are kept, also if the range above should ever change."""
    result = run(seed)
    assert result.verdict == "ok", result.tell()


def test_a_seed_is_the_same_run_each_time() -> None:
    """A failing seed can be run again."""
    first, second = run(7), run(7)
    assert first.tell() == second.tell()
    assert first.world.warehouse.tables == second.world.warehouse.tables
