"""How fast things are on the hardware at hand."""
