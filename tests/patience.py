"""How long a test waits before it calls a thing hanging.

Machines differ by a factor of ten, and one that is busy by another: no test is judged by how fast it was, and none may keep
what AWS lets expire, such as an iterator of Kinesis.
"""

from typing import Final

HANGS_S: Final = 900.0
