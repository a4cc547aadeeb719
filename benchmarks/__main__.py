"""`make bench`: every benchmark, one after the other."""

from benchmarks import backlog, export

if __name__ == "__main__":
    backlog.main()
    export.main()
