"""`make bench`: every benchmark, one after the other; `python -m benchmarks.NAME` for one, with its options."""

from benchmarks import backlog, export, load, pull, rounds, scale, unload

if __name__ == "__main__":
    for benchmark in (backlog, rounds, scale, load, unload, pull, export):
        benchmark.main()
