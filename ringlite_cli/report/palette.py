"""One colour per domain and one colour and shape per policy, the same all over the page (colours: `style.css`)."""

from ringlite_cli.domains import SHIPPED
from ringlite_cli.report.files import mapping
from ringlite_cli.report.load import Run, Stage

_SPARE_DOMAINS, _RL_POLICIES = 4, 5


class Palette:
    def __init__(self, run: Run) -> None:
        self._domains = {domain.name: domain.colour for domain in SHIPPED}
        self._policies = {"base": ("p-base", "circle")}
        for stage in run.stages:
            self._name_stage(stage)
        for stage in run.of("eval"):
            for name in mapping({"scores": scores_of(stage)}, "scores"):
                self.policy(name)

    def _name_stage(self, stage: Stage) -> None:
        if stage.kind in ("sft", "select"):
            self._policies[stage.name] = ("p-sft", "square")
        elif stage.kind == "rl":
            self.policy(stage.name)

    def domain(self, name: str) -> str:
        """The colour class of a domain (or task); unknown ones get spare colours in the order that they come."""
        if name not in self._domains:
            self._domains[name] = f"d-x{(len(self._domains) - len(SHIPPED)) % _SPARE_DOMAINS}"
        return self._domains[name]

    def policy(self, name: str) -> tuple[str, str]:
        """The colour class and the shape of a policy."""
        if name not in self._policies:
            taken = sum(style.startswith("p-rl") for style, _ in self._policies.values())
            self._policies[name] = (f"p-rl{taken % _RL_POLICIES}", "diamond")
        return self._policies[name]


def scores_of(stage: Stage) -> object:
    """{policy: {task: score}}: scores.json, or the manifest's metrics where the file is missing."""
    found = stage.load("scores.json")
    return found if isinstance(found, dict) else stage.manifest.get("metrics")
