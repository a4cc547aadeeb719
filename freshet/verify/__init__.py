"""Target = source? Compare the databases themselves, not counters."""
