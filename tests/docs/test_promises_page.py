"""docs/promises.md is generated from the mutants, and says nothing else."""

from tests.model import test_decisions
from tests.model.mutants import MUTANTS
from tests.model.promises import PAGE, RULES, page


def test_the_page_is_what_the_mutants_say() -> None:
    """After a change: `python -m tests.model.promises`."""
    assert page() == PAGE.read_text(encoding="utf-8")


def test_every_mutant_stands_under_a_rule_and_names_a_test_that_exists() -> None:
    """Each rule has a mutant, each mutant a rule."""
    assert set(RULES) == {mutant.rule for mutant in MUTANTS.values()}
    directed = {mutant.directed for mutant in MUTANTS.values() if mutant.directed}
    assert directed <= set(dir(test_decisions))
