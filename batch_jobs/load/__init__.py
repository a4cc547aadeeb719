"""Files from S3 into a Redshift table, each exactly once; the modules stand in README.md in the order of a run."""
