"""Talking to Redshift: the Data API, the ledger, and the one transaction that moves the table."""
