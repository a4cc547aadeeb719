"""AWS Glue 6.0 runs this script; the job itself comes with the wheel in --additional-python-modules."""

import sys

from streaming_job.__main__ import main

if __name__ == "__main__":
    code = main()
    if code:  # Glue takes any SystemExit for a failure
        sys.exit(code)
