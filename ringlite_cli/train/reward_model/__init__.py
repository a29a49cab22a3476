"""Training of a reward model on pairs of responses."""
