"""docs/export.md says what the job does."""

import re

from batch_jobs.export_dynamodb import definition, items, job, pace
from batch_jobs.export_dynamodb.arguments import Arguments
from freshet.cli.context import ROOT

PAGE = (ROOT / "docs" / "export.md").read_text()


def test_every_entry_is_described() -> None:
    """The table of entries is the definition's, and `same` is explained with `duplicates`."""
    told = set(re.findall(r"^\| `([a-z_]+)` \| ", PAGE, re.MULTILINE))
    assert set(definition._SHAPES) - {"same"} == told
    assert "`same`" in PAGE


def test_the_numbers_are_the_codes() -> None:
    """Hold, renewal, limits."""
    hold_s = Arguments.model_fields["hold_s"].default
    assert f"the hold of {hold_s:.0f} seconds" in PAGE
    assert f"renews every {hold_s / pace.MARGIN:.0f} seconds" in PAGE
    assert f"{items.ITEM_BYTES_MAX // 1024} KB" in PAGE
    assert f"over {items.KEY_BYTES_MAX} bytes" in PAGE


def test_every_step_is_described() -> None:
    """The steps that a run times stand in the page."""
    source = (ROOT / "batch_jobs" / "export_dynamodb" / "job.py").read_text()
    steps = re.findall(r'_timed\("(\w+)"\)', source)
    assert len(steps) > 5
    assert [step for step in steps if f"**{step}**" not in PAGE] == []
    assert job.__doc__
