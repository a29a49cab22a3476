"""Runs code that nobody has read: in a jail, within limits, with a verdict that the code cannot forge."""

from ringlite_cli.sandbox.model import SandboxSettings, SandboxVerdict, Submission
from ringlite_cli.sandbox.pool import Sandbox, isolation_level

__all__ = ["Sandbox", "SandboxSettings", "SandboxVerdict", "Submission", "isolation_level"]
