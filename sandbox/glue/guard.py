"""Become a job's process that dies with the Glue that started it, even by kill -9 (Linux).

    python -I -S guard.py PID PYTHON SCRIPT ARGUMENT...

The signal comes when the *thread* that started the process ends, so that thread waits for it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the sandbox's Glue is gone")
os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for
