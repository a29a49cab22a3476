"""Truncated importance sampling: a token weighs min(k, cap). The usual cap is 2."""

from ringlite_cli.c3po.mismatch import Rule

RULE = Rule("truncate", weigh=lambda drawn: drawn.k.clamp(max=drawn.cap))
