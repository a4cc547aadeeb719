"""Jobs that are started, do one thing, and end: files from S3 in, SQL files run."""
