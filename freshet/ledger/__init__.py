"""What the warehouse remembers of a pipeline: keys, positions, pending work, and what one commit does to them."""
