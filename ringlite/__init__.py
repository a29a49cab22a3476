"""ringlite as a library: C3PO in a TRL script of your own, and each stage of the recipe by itself.

    from ringlite import C3POConfig, C3POTrainer, verifiers

Nothing heavy is imported before a name is used: `import ringlite` takes a fraction of a second. The first use of a name
that loads models also makes the architectures known that transformers does not ship (Ling's and Ring's `bailing_moe`);
`register_models()` does so at once, for scripts that load a model themselves before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ringlite_cli import __version__

if TYPE_CHECKING:
    from ringlite import verifiers
    from ringlite.run import curate, evaluate, run_recipe
    from ringlite_cli.c3po.algorithm import Algorithm, Surrogate, Tokens
    from ringlite_cli.data.adapters.fields import BadRow
    from ringlite_cli.domains import Domain
    from ringlite_cli.errors import RecipeErrors, RingliteError, UserError, WorkFailed
    from ringlite_cli.evals.tasks.base import Parts, Task
    from ringlite_cli.models import register as register_models
    from ringlite_cli.problems import Problem, Verdict, read_problems, write_problems
    from ringlite_cli.recipe.c3po import C3POSettings
    from ringlite_cli.recipe.load import load_recipe
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.recipe.schema import Recipe
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings
    from ringlite_cli.runs.catalogue.columns import Metric, measures
    from ringlite_cli.train.rl.config import C3POConfig
    from ringlite_cli.train.rl.loop import Hooks
    from ringlite_cli.train.rl.run import ModelOptions, run_rl
    from ringlite_cli.train.rl.trainer import C3POTrainer
    from ringlite_cli.train.sft.run import run_sft

_PLACES = {
    "Algorithm": "ringlite_cli.c3po.algorithm",
    "BadRow": "ringlite_cli.data.adapters.fields",
    "C3POConfig": "ringlite_cli.train.rl.config",
    "C3POSettings": "ringlite_cli.recipe.c3po",
    "C3POTrainer": "ringlite_cli.train.rl.trainer",
    "Domain": "ringlite_cli.domains",
    "Hooks": "ringlite_cli.train.rl.loop",
    "Metric": "ringlite_cli.runs.catalogue.columns",
    "ModelOptions": "ringlite_cli.train.rl.run",
    "Parts": "ringlite_cli.evals.tasks.base",
    "Problem": "ringlite_cli.problems",
    "Recipe": "ringlite_cli.recipe.schema",
    "RecipeErrors": "ringlite_cli.errors",
    "RingliteError": "ringlite_cli.errors",
    "RlSettings": "ringlite_cli.recipe.rl_settings",
    "Surrogate": "ringlite_cli.c3po.algorithm",
    "Task": "ringlite_cli.evals.tasks.base",
    "Tokens": "ringlite_cli.c3po.algorithm",
    "UserError": "ringlite_cli.errors",
    "Verdict": "ringlite_cli.problems",
    "VerifierSettings": "ringlite_cli.rewards.verifiers",
    "Verifiers": "ringlite_cli.rewards.verifiers",
    "WorkFailed": "ringlite_cli.errors",
    "curate": "ringlite.run",
    "evaluate": "ringlite.run",
    "load_recipe": "ringlite_cli.recipe.load",
    "measures": "ringlite_cli.runs.catalogue.columns",
    "read_problems": "ringlite_cli.problems",
    "run_recipe": "ringlite.run",
    "run_rl": "ringlite_cli.train.rl.run",
    "run_sft": "ringlite_cli.train.sft.run",
    "write_problems": "ringlite_cli.problems",
}
"""Name -> the module that has it."""

_LOAD_MODELS = ("C3POConfig", "C3POTrainer", "evaluate", "run_recipe", "run_rl", "run_sft")
"""Names whose first use registers the architectures."""


def __getattr__(name: str) -> Any:
    if name == "verifiers":
        return import_module("ringlite.verifiers")
    if name == "register_models":
        return import_module("ringlite_cli.models").register
    if name not in _PLACES:
        raise AttributeError(f"module 'ringlite' has no attribute {name!r}")
    if name in _LOAD_MODELS:
        import_module("ringlite_cli.models").register()
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Algorithm",
    "BadRow",
    "C3POConfig",
    "C3POSettings",
    "C3POTrainer",
    "Domain",
    "Hooks",
    "Metric",
    "ModelOptions",
    "Parts",
    "Problem",
    "Recipe",
    "RecipeErrors",
    "RingliteError",
    "RlSettings",
    "Surrogate",
    "Task",
    "Tokens",
    "UserError",
    "Verdict",
    "VerifierSettings",
    "Verifiers",
    "WorkFailed",
    "__version__",
    "curate",
    "evaluate",
    "load_recipe",
    "measures",
    "read_problems",
    "register_models",
    "run_recipe",
    "run_rl",
    "run_sft",
    "verifiers",
    "write_problems",
]
