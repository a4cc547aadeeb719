"""`make bench`: every benchmark, one after the other."""

from benchmarks.backlog import main

if __name__ == "__main__":
    main()
