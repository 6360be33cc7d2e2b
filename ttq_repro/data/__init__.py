"""Data sets as arrays in memory, and the batches that training draws from them."""
