"""Training one run with Lightning."""
