"""What is new, changed or gone is found by merging two sorted streams, in the order of the names' bytes."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_jobs.load.compare import CHANGED, GONE, LOADED, MENDED, NEW, SET_ASIDE, Known, batches, compare, survey
from batch_jobs.load.listing import File, files_below, from_hex, in_hex
from freshet.errors import EnvironmentFault

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
SEEN = st.dictionaries(NAMES, st.tuples(st.integers(0, 2), st.sampled_from(["loaded", "set_aside"])))


@given(st.dictionaries(NAMES, st.integers(0, 2)), SEEN)
def test_every_file_has_one_state(files: dict[str, int], known: dict[str, tuple[int, str]]) -> None:
    """As a comparison by name says, whatever the names."""
    listed = [File(name, size, "e") for name, size in sorted(files.items(), key=lambda item: item[0].encode())]
    remembered = sorted(
        (Known(in_hex(name), size, "e", outcome) for name, (size, outcome) in known.items()), key=lambda k: k.hex
    )
    expected: dict[str, str] = {}
    for name in files.keys() | known.keys():
        if name not in known:
            expected[name] = NEW
        elif name not in files:
            expected[name] = GONE
        else:
            is_same = files[name] == known[name][0]
            loaded = known[name][1] == "loaded"
            expected[name] = (LOADED if is_same else CHANGED) if loaded else (SET_ASIDE if is_same else MENDED)
    found = [(file.url, state) for state, file in compare(listed, remembered)]
    assert len(expected) == len(found)
    assert expected == dict(found)


@given(st.lists(NAMES))
def test_the_order_of_hex_is_that_of_bytes(names: list[str]) -> None:
    """So SQL, which may sort by another collation, gives the order in which S3 lists."""
    assert sorted(names, key=str.encode) == sorted(names, key=in_hex)
    assert names == [from_hex(in_hex(name)) for name in names]


@given(st.lists(st.integers(0, 50)), st.integers(1, 5), st.integers(1, 60))
def test_batches_keep_every_file_in_order(sizes: list[int], files_max: int, bytes_max: int) -> None:
    """None is larger than it may be, but for a single file."""
    files = [File(str(place), size, "") for place, size in enumerate(sizes)]
    cut = list(batches(files, files_max, bytes_max))
    assert files == [file for batch in cut for file in batch]
    assert all(0 < len(batch) <= files_max for batch in cut)
    assert all(len(batch) == 1 or sum(file.size for file in batch) <= bytes_max for batch in cut)


class Listing:
    """An S3 client that lists without end of memory: pages are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_paginator(self, _name: str) -> Any:
        return self

    def paginate(self, **_where: str) -> Iterator[dict[str, Any]]:
        for first in range(0, self.count, 1000):
            yield {
                "Contents": [{"Key": f"in/{n:08}", "Size": n, "ETag": f'"{n:032}"'} for n in range(first, first + 1000)]
            }


def test_a_hundred_thousand_files_take_little_memory() -> None:
    """What is kept is a page, not the list: a hundred times as many files take no more."""

    def peak(count: int) -> int:
        known = (Known(in_hex(f"s3://b/in/{n:08}"), n, f"{n:032}", "loaded") for n in range(0, count, 2))
        tracemalloc.start()
        seen = survey(compare(files_below(Listing(count), "b", "in/"), known))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (count // 2, count // 2) == (seen.count(LOADED), seen.count(NEW))
        return used

    small = peak(2000)
    assert peak(100_000) < small * 1.5


def test_a_bucket_that_lists_in_another_order_is_refused() -> None:
    """Merging would take loaded files for new ones."""

    class Unsorted(Listing):
        def paginate(self, **_where: str) -> Iterator[dict[str, Any]]:
            yield {"Contents": [{"Key": key, "Size": 1, "ETag": '"e"'} for key in ("in/b", "in/a")]}

    with pytest.raises(EnvironmentFault, match="directory buckets"):
        list(files_below(Unsorted(0), "b", "in/"))
