"""The metrics of the user's own in an RL run: of its algorithm, and of the rewards that its problems ask for."""

from collections.abc import Iterable, Sequence

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.own_code import is_own, load
from ringlite_cli.problems import Problem, route
from ringlite_cli.runs.catalogue import OF_STAGE
from ringlite_cli.runs.catalogue.columns import Metric
from ringlite_cli.runs.catalogue.own import as_shown, check_own
from ringlite_cli.train.rl.composed import Composer


def own_metrics(algorithm: str, problems: Sequence[Problem], composer: Composer) -> tuple[Metric, ...]:
    """Return what the run's own algorithm and rewards say that they measure, as status and the report show it.

    Raises UserError for a metric whose key another column has.
    """
    taken = {metric.key for metric in OF_STAGE["rl"]}
    found = list(check_own(algorithm_of(algorithm).metrics, taken, algorithm))
    for name in sorted({route(problem) for problem in composer.asked(problems)}):
        if is_own(name):
            of_reward: Iterable[Metric] = getattr(load(name, calls=True), "metrics", ())
            found += check_own(of_reward, taken | {metric.key for metric in found}, name)
    return tuple(map(as_shown, found))
