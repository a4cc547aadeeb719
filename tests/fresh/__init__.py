"""Both commands on machines that nobody has prepared; `make fresh`."""
