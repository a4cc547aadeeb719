"""Freshet keeps a Redshift table current from a live MySQL database."""

__version__ = "0.1.0"
