"""Training runs: their identity, files and records, and how they are planned and executed."""
