"""Freshet on AWS: packaging, the stack, and the order in which its parts are started."""
