"""Reinforcement learning by C3PO: one run, its trainer, its rollouts and the optimizer steps made of them."""
