"""A stand-in for AWS DMS: reads MySQL's binlog and writes DMS's records to a Kinesis stream."""
