"""`make bench`: every benchmark, one after the other; `python -m benchmarks.NAME` for one, with its options."""

from benchmarks import backlog, export, load, pull, unload

if __name__ == "__main__":
    for benchmark in (backlog, load, unload, pull, export):
        benchmark.main()
