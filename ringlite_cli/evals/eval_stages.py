"""What a task is called that a policy answered in several eval stages of a run: their scores are not one."""

from collections import Counter
from collections.abc import Collection, Iterable


def asked_again(answered: Iterable[tuple[str, str]]) -> set[str]:
    """Return the tasks that some policy answered more than once. answered: (policy, task) of each eval stage.

    >>> asked_again([("base", "math"), ("base", "code"), ("base", "math")])
    {'math'}
    """
    return {task for (_, task), times in Counter(answered).items() if times > 1}


def task_name(task: str, stage: str, again: Collection[str]) -> str:
    """Return a task's name, behind its stage's where several stages ask it. again: see `asked_again`."""
    return f"{stage}: {task}" if task in again else task
