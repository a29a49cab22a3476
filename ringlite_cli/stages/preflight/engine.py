"""Whether what draws responses can work here: vLLM and its version, the devices that it needs, a server's address."""

from collections.abc import Iterator

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.recipe.c3po import RlSettings, starts_server
from ringlite_cli.stages.base import Context, Finding

_INSTALL = "`make setup-vllm` installs a version that fits"


def engine_is_there(context: Context) -> Iterator[Finding]:
    """Check the recipe's engine, which draws for select, eval and curation."""
    engine = context.recipe.engine
    if engine.name != "vllm":
        return
    if fault := fault_of(vllm_version()):
        yield Finding("engine.name", fault, f"{_INSTALL}, or use the engine transformers", of_machine=True)
    elif (needed := engine.tensor_parallel_size) > max(1, gpus_here()):
        what = f"{needed} GPUs are asked for, and {gpus_here()} are here"
        yield Finding("engine.tensor_parallel_size", what, of_machine=True)


def engine_of_models_is_there(context: Context) -> Iterator[Finding]:
    """Check the engine where curation asks a local model."""
    if context.section.asks_local_models:
        yield from engine_is_there(context)


def rollouts_can_be_drawn(context: Context) -> Iterator[Finding]:
    """Check what an RL stage draws its rollouts with."""
    section: RlSettings = context.section
    if not section.trl.get("use_vllm"):
        return
    key = f"stages.{context.name}"
    if fault := fault_of(vllm_version()):
        yield Finding(f"{key}.trl.use_vllm", fault, f"{_INSTALL}, or set use_vllm: false", of_machine=True)
        return
    if section.trl_value("vllm_mode") == "server" and not gpus_here():
        what = "weights reach a vLLM server over NCCL, between GPUs, and none is here"
        yield Finding(f"{key}.trl.vllm_mode", what, "set it to colocate", of_machine=True)
    elif starts_server(section.trl):
        from ringlite_cli.errors import UserError
        from ringlite_cli.train.engine.own_server import choose_gpus, ranks_here, visible_gpus

        try:
            choose_gpus(section.vllm_server, visible_gpus(), ranks_here())
        except UserError as error:
            yield Finding(key, str(error), of_machine=True)


def gpus_here() -> int:
    """Return the number of CUDA devices that this process sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
