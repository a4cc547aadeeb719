"""Each wrong decision is noticed: a suite that a mutant survives proves nothing about the rule that it breaks."""

import pytest

from tests.model import test_decisions
from tests.model.mutants import MUTANTS, Mutant, applied
from tests.model.simulation import run

SEEDS_MAX = 400
# A seed that kills the mutant, to begin with; if it does so no longer, others are tried.
KILLED_BY = {
    "read_first": 10,
    "probe_after": 6,
    "no_probe": 5,
    "forget_held": 19,
    "forget_moved": 2,
    "no_again": 22,
    "again_forgotten": 22,
    "coalesce_lost": 22,
    "alias_once": 9,
    "self_not_dim": 19,
    "no_hop": 115,
    "walk_through_row": 9,
    "skip_tail": 54,
    "through_of_other_pipeline": 1,
    "group_positions": 3,
    "replica": 33,
    "two_statements_per_row": 15,
    "any_spelling": 1,
    "one_sided": 32,
    "range_delete": 15,
    "truncate_unseen": 7,
    "failover_unseen": 28,
    "no_old_key": 10,
    "moved_ignored": 17,
    "quarantine_deletes_row": 18,
    "quarantine_keeps_gone": 35,
    "hash_keeps_mark": 28,
    "hash_beats_repair": 25,
    "memory_forgets_moved": 22,
    "memory_forgets_held": 191,
    "memory_forgets_sweep": 14,
}
OF_RUNS = [name for name, mutant in MUTANTS.items() if mutant.directed is None]
DIRECTED = [name for name, mutant in MUTANTS.items() if mutant.directed is not None]


def kills(mutant: Mutant, seed: int) -> bool:
    """Tell whether one run goes wrong under a mutant; an error that no decision raises counts as well."""
    try:
        return run(seed, mutant.settings).verdict != "ok"
    except (KeyError, ValueError, IndexError):
        return True


@pytest.mark.parametrize("name", OF_RUNS)
def test_some_seed_kills_the_mutant(name: str) -> None:
    """And the decisions as they are pass that very seed."""
    mutant = MUTANTS[name]
    first = KILLED_BY.get(name, 0)
    for seed in (first, *range(SEEDS_MAX)):
        with applied(mutant):
            killed = kills(mutant, seed)
        if killed:
            result = run(seed, mutant.settings)
            assert result.verdict == "ok", result.tell()
            return
    pytest.fail(f"no seed below {SEEDS_MAX} goes wrong although {mutant.breaks}")


@pytest.mark.parametrize("name", DIRECTED)
def test_the_named_test_kills_the_mutant(name: str) -> None:
    """It passes with the decisions as they are, and fails with the mutant's."""
    test = getattr(test_decisions, str(MUTANTS[name].directed))
    test()
    with applied(MUTANTS[name]), pytest.raises((AssertionError, pytest.fail.Exception)):
        test()
