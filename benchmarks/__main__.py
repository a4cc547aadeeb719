"""`make bench`: every benchmark, one after the other; `python -m benchmarks.NAME` for one, with its options."""

from benchmarks import backlog, load, pull

if __name__ == "__main__":
    backlog.main()
    load.main()
    pull.main()
