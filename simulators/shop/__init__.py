"""What the simulators share: a connection, invented rows, a stocked shop, sales.

It imports nothing of Freshet: on AWS Glue it travels alone, as a wheel beside a single script.
"""
