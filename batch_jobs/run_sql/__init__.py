"""Run a file of SQL in Redshift, statement by statement or as one transaction."""
