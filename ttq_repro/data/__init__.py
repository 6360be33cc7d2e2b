"""Data sets, in memory or stored as photographs, and the batches that training draws from them."""
