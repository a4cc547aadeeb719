"""A Glue that runs Python shell jobs, as processes of this machine."""
