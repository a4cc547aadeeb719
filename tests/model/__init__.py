"""The job's decisions, driven without Spark on virtual time by seeded faults."""
