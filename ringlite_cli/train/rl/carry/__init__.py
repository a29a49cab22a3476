"""Rollouts under a token budget: unfinished responses are carried into the next step (C3PO++, arXiv 2510.18855)."""
