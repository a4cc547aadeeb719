"""`make bench`: every benchmark, one after the other; `python -m benchmarks.NAME` for one, with its options."""

from benchmarks import backlog, load

if __name__ == "__main__":
    backlog.main()
    load.main()
