"""The continuously running job: change records from Kinesis become rows in Redshift, one micro-batch after the other."""
