"""A small Kinesis Data Streams that reshards, throttles, expires and remembers as the real one does."""
