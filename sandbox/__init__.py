"""Stand-ins for MySQL on RDS, DMS, Kinesis, S3, Secrets Manager and Redshift, all on one machine."""
