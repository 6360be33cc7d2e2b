"""What the paper and its sources report: pure data."""
