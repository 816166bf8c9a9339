"""Linear attention, of which theory knows the minimisers."""
