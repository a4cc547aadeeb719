"""The continuously running job: reads which rows changed, reads these rows, and keeps tables equal to their SELECT."""

import contextlib

# The MySQL client's C extension brings a newer OpenSSL, and loads only if Python's ssl has not loaded the system's before.
# Without it the client works too, for four times the CPU.
with contextlib.suppress(ImportError):
    import _mysql_connector  # type: ignore[import-not-found]  # noqa: F401
