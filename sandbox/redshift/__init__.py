"""A stand-in for Amazon Redshift: PostgreSQL behind the Data API, which takes what Redshift takes and refuses the rest.

Start it with `python -m sandbox.redshift --state DIR --s3-endpoint URL`, or in a process with
`sandbox.redshift.server.Redshift`. `README.md` lists every known difference from the real one.
"""
