"""Benchmarks of speed, memory and size."""
