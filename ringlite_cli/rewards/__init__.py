"""Rule-based rewards: verifiers of math, science, logic and code, in processes that can be killed."""

from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

__all__ = ["VerifierSettings", "Verifiers"]
