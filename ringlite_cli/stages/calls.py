"""The calls by which rank 0 brings the other ranks into a stage, as the kinds of stages use them."""

from ringlite_cli.runs.ranks import CALLS, ENDED, call_ranks, calls_so_far, is_follower

__all__ = ["CALLS", "ENDED", "call_ranks", "calls_so_far", "is_follower"]
