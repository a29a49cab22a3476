"""Engines that draw responses from a policy, and the entropy of what they drew."""
