"""How fast, and where the time goes; each figure is a ratio to a limit measured in the same run."""
