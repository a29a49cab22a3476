"""Trackers besides metrics.jsonl: what `trl.report_to` may name, and what must be installed for it."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ringlite_cli.errors import near

_MODULES = {
    "azure_ml": ("azureml",),
    "clearml": ("clearml",),
    "codecarbon": ("codecarbon",),
    "comet_ml": ("comet_ml",),
    "dagshub": ("dagshub",),
    "dvclive": ("dvclive",),
    "flyte": ("flytekit",),
    "kubeflow": (),
    "mlflow": ("mlflow",),
    "neptune": ("neptune",),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""Tracker, as transformers names it -> the packages that it takes one of."""


def trackers(trl: Mapping[str, Any]) -> list[str]:
    """The trackers that `report_to` names; [] for none, null or nothing. `all` stays as it is."""
    given = trl.get("report_to") or []
    return [name for name in ([given] if isinstance(given, str) else given) if name != "none"]


def tracker_faults(trl: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with `report_to`, each as `key: what; what next`."""
    return [fault for name in trackers(trl) if (fault := _fault(name))]


def _fault(name: str) -> str | None:
    if name == "all":
        return None
    if name not in _MODULES:
        hint = near(name, _MODULES, f"trackers are {', '.join(_MODULES)}")
        return f"trl.report_to: no tracker {name!r}; {hint}"
    modules = _MODULES[name]
    if modules and not any(find_spec(module) for module in modules):
        return f"trl.report_to: {name} is not installed; `pip install {modules[0]}`, or leave report_to out"
    return None
