"""What a pipeline is: its definition, the checked SELECT, its types and its target."""
