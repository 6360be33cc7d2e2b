"""Tables and figures, drawn from records and the paper's numbers alone."""
