"""Reading, replacing and removing what a model computes."""
