"""The source: how it is reached and asked."""
