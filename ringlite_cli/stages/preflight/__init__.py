"""What would fail later, found before anything moves on disk: a file for each thing that is looked at.

A check is a function of a stage's `Context` that yields a `Finding` for each fault. A kind of stage lists its checks in
what `StageKind.preflight` gives; `walk/preflight.py` makes those of all stages that are about to work.
"""
