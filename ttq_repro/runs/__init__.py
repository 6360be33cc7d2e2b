"""Runs: what makes two of them the same, where their files lie, what they leave, which are missing."""
