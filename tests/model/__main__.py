"""Run the model: `python -m tests.model 20000` for many seeds, `--seed 7` for one."""

import argparse
import sys
from collections import Counter

from tests.model.simulation import Run, count, run
from tests.model.test_seeds import SEEDS

TOLD_AT_MOST = 5
NAMED_EVERY = 1_000


def main() -> int:
    """Run seeds; tell the first failures and the faults injected.

    Returns:
        0 if every target equaled its SELECT, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=SEEDS, help="how many, from 0")
    parser.add_argument("--seed", type=int, help="this one alone, with its last events")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        alone = run(chosen.seed)
        print(alone.tell())
        return alone.verdict != "ok"
    faults: Counter[str] = Counter()
    failed: list[Run] = []
    for seed in range(chosen.seeds):
        result = run(seed)
        faults.update(count([result]))
        if result.verdict != "ok":
            failed.append(result)
            if len(failed) <= TOLD_AT_MOST:
                print(result.tell(), flush=True)
        if (seed + 1) % NAMED_EVERY == 0:
            print(f"{seed + 1} seeds, {len(failed)} failed", flush=True)
    print(f"{chosen.seeds} seeds, {len(failed)} failed: {[result.seed for result in failed]}")
    print(", ".join(f"{times} {fault}" for fault, times in sorted(faults.items())))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
