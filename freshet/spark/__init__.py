"""Spark as Freshet starts it."""
