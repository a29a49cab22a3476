"""What a stage draws responses with: the recipe's engine, on this process alone or on all ranks of a launch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.ranks import call_to_draw, world_size
from ringlite_cli.samples import Sampler, SamplingSettings
from ringlite_cli.sampling.keeping import end_engine, lend_engine
from ringlite_cli.sampling.opening import MakeSampler, chosen, open_sampler, open_samplers

__all__ = ["Draw", "MakeSampler", "chosen", "lms", "open_draw", "open_sampler", "open_samplers", "stage_samplers"]

Draw = Callable[[Path | str, SamplingSettings, str], Sampler]
"""Opens a policy with a dtype."""


@contextmanager
def stage_samplers(
    run: Path,
    stage: str,
    engine: Engine,
    dtype: str,
    row_tokens: int | None = None,
    *,
    keep: bool = False,
    alone: bool = False,
) -> Iterator[MakeSampler]:
    """Load policies one after the other for a stage, on all ranks of the launch.

    row_tokens: length of the packed rows by which ranks compute the entropy of what they draw; None: not asked for.
    keep: leave vLLM's engine in memory for the next stage that draws; not where several ranks draw, by processes of
    their own. alone: the stage needs none of the GPU's memory beside the engine. A server is asked by the first rank
    alone: it shares its own GPUs out.
    """
    if _is_shared(run / stage, engine):
        with open_draw(run, stage, engine, row_tokens) as draw:
            yield lambda path, settings: draw(path, settings, dtype)
        return
    with open_samplers(engine, dtype, keep=keep, alone=alone) as make_sampler:
        yield make_sampler


@contextmanager
def open_draw(run: Path, stage: str, engine: Engine, row_tokens: int | None = None) -> Iterator[Draw]:
    """As stage_samplers, for policies that name their dtypes; the engine ends with the block."""
    if not _is_shared(run / stage, engine):
        if chosen(engine) != "vllm":
            yield lambda path, settings, dtype: open_sampler(path, settings, engine, dtype)
            return
        from ringlite_cli.sampling.vllm_sampler import VllmSampler

        with lend_engine() as engines:
            yield lambda path, settings, dtype: VllmSampler(
                path, dtype=dtype, settings=settings, engine=engine, engines=engines
            )
        return
    from ringlite_cli.sampling.shared.session import open_session

    end_engine()
    with open_session(run / stage, engine, lambda name: call_to_draw(run, stage, name)) as session:
        yield lambda path, settings, dtype: session.open(path, settings, dtype, row_tokens)


def _is_shared(stage: Path, engine: Engine) -> bool:
    from ringlite_cli.sampling.shared.session import has_drawn

    return chosen(engine) != "server" and (world_size() > 1 or has_drawn(stage))


def lms(engine: Engine, dtype: str, seed: int) -> Callable[[Path | str], Any]:
    """Load policies as lm-evaluation-harness takes them.

    Some of its tasks score answers in this process, with sympy's parsers; from the first load on these read expressions
    and evaluate nothing else.
    """

    def load(path: Path | str) -> Any:
        from ringlite_cli.sampling.harness_lm import open_harness_lm
        from ringlite_cli.sandbox.guest.closed_eval import close_sympy

        if find_spec("sympy") is not None:
            close_sympy()
        end_engine()  # the harness starts its own
        return open_harness_lm(path, engine, chosen(engine), dtype, seed=seed)

    return load
