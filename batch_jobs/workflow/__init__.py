"""Files of SQL chained into a state machine: what a workflow's folder says, and what its execution is told."""
