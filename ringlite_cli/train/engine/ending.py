"""The end of a colocated engine, after which the ranks that it stood beside still have their process group."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ringlite_cli.engine import forget_graphs


def shut_down(llm: Any, *, ranks: int) -> None:
    """End vLLM's LLM in this process; its memory is free when nobody holds it any more.

    ranks: of the trainer. vLLM ends the process group with its engine: when it is told to, or when the engine is
    collected. Several ranks still need theirs, to write the policy, and for the next stage.
    """
    core = llm.llm_engine.engine_core
    if ranks > 1:
        with _group_kept():
            core.shutdown()
    else:
        core.shutdown()
        forget_groups()
    forget_graphs()


def forget_groups() -> None:
    """Have the next engine share itself out anew: vLLM keeps the groups of an ended one, whatever their size.

    All ranks have to call it.
    """
    from vllm.distributed.parallel_state import destroy_model_parallel

    destroy_model_parallel()


@contextmanager
def _group_kept() -> Iterator[None]:
    """Have an engine that is ended in this block leave the process group of the ranks alone."""
    from vllm.v1.engine import core

    plain = getattr(core, "cleanup_dist_env_and_memory", None)
    if plain is None:  # versions that leave it alone themselves
        yield
        return
    core.cleanup_dist_env_and_memory = _nothing
    try:
        yield
    finally:
        core.cleanup_dist_env_and_memory = plain


def _nothing(*_: Any, **__: Any) -> None:
    pass
