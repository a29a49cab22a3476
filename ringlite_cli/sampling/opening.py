"""The engine that responses are drawn with, as the recipe's `engine` section and this machine decide."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.samples import Sampler, SamplingSettings

MakeSampler = Callable[[Path | str, SamplingSettings], Sampler]


@contextmanager
def open_samplers(engine: Engine, dtype: str, *, keep: bool = False, alone: bool = False) -> Iterator[MakeSampler]:
    """Load policies one after the other, for the block; vLLM's engine ends with it.

    keep: leave a run's engine in memory for its next stage that draws (sampling/keeping.py). alone: nothing else needs
    the GPU's memory, so that a kept engine may have more of it than `engine` says.
    """
    if chosen(engine) != "vllm":
        yield lambda path, settings: open_sampler(path, settings, engine, dtype)
        return
    from ringlite_cli.sampling.keeping import lend_engine
    from ringlite_cli.sampling.vllm_sampler import VllmSampler

    with lend_engine(keep=keep) as engines:
        yield lambda path, settings: VllmSampler(
            path, dtype=dtype, settings=settings, engines=engines, engine=engine, alone=alone
        )


def open_sampler(path: Path | str, settings: SamplingSettings, engine: Engine, dtype: str) -> Sampler:
    """One policy; its `close` frees everything."""
    if chosen(engine) == "server":
        from ringlite_cli.sampling.server import ServerSampler

        return ServerSampler(path, dtype=dtype, settings=settings, engine=engine)
    if chosen(engine) == "transformers":
        from ringlite_cli.sampling.transformers_sampler import TransformersSampler

        return TransformersSampler(path, dtype=dtype, settings=settings)
    from ringlite_cli.sampling.vllm_sampler import VllmSampler

    return VllmSampler(path, dtype=dtype, settings=settings, engine=engine)


def chosen(engine: Engine) -> Literal["transformers", "vllm", "server"]:
    """The engine's name, with `auto` decided."""
    if engine.name != "auto":
        return engine.name
    import torch

    return "vllm" if torch.cuda.is_available() and not fault_of(vllm_version()) else "transformers"
