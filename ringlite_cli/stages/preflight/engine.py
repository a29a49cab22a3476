"""Whether what draws responses can work here: vLLM and its version, the devices that it needs, a server's address."""

from collections.abc import Iterator

from ringlite_cli.engine import INSTALL, fault_of, head_dtype_fault, vllm_version
from ringlite_cli.recipe.rl_settings import RlSettings, starts_engine, starts_server
from ringlite_cli.recipe.rollouts import SHARED_OUT
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.base import Context, Finding


def engine_is_there(context: Context) -> Iterator[Finding]:
    """Check the recipe's engine, which draws for select, eval and curation."""
    engine = context.recipe.engine
    if engine.name != "vllm":
        return
    if fault := fault_of(vllm_version()):
        yield Finding("engine.name", fault, f"{INSTALL}, or use the engine transformers", of_machine=True)
    elif (needed := engine.tensor_parallel_size) > max(1, gpus_here()):
        what = f"{needed} GPUs are asked for, and {gpus_here()} are here"
        yield Finding("engine.tensor_parallel_size", what, of_machine=True)
    yield from _heads(context, engine.tensor_parallel_size, "engine.tensor_parallel_size")


def engine_of_pairs_is_there(context: Context) -> Iterator[Finding]:
    """Check the engine where pairs are made of responses."""
    if context.section.pairs is not None:
        yield from engine_is_there(context)


def engine_of_models_is_there(context: Context) -> Iterator[Finding]:
    """Check the engine where curation asks a local model."""
    if context.section.asks_local_models:
        yield from engine_is_there(context)


def rollouts_can_be_drawn(context: Context) -> Iterator[Finding]:
    """Check what an RL stage draws its rollouts with."""
    section: RlSettings = context.section
    key = f"stages.{context.name}"
    if not section.trl.get("use_vllm"):
        if section.rollout_func is None:
            yield from _own_model(section, key)
        return
    if fault := fault_of(vllm_version()):
        yield Finding(f"{key}.trl.use_vllm", fault, f"{INSTALL}, or set use_vllm: false", of_machine=True)
        return
    if section.vllm_head_dtype != "auto" and starts_engine(section.trl) and (why := head_dtype_fault()):
        hint = "leave it out and set vllm_dtype: float32, or install a later version"
        yield Finding(f"{key}.vllm_head_dtype", why, hint, of_machine=True)
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
        yield from _heads(context, section.vllm_server.tensor_parallel_size, f"{key}.vllm_server.tensor_parallel_size")
    elif (gpus := int(section.trl_value("vllm_tensor_parallel_size") or 1)) > 1:
        where = f"{key}.trl.vllm_tensor_parallel_size"
        ranks = world_size()
        if ranks % gpus:
            what = f"an engine spreads over {gpus} ranks of the trainer, and {ranks} cannot be shared out so"
            hint = f"launch a multiple of {gpus} ranks (accelerate launch --num_processes), or lower it"
            yield Finding(where, what, hint, of_machine=True)
        yield from _heads(context, gpus, where)


def _own_model(section: RlSettings, key: str) -> Iterator[Finding]:
    """Check what the trainer's own model cannot do, or does without an effect."""
    from ringlite_cli.train.devices import sharing_ranks

    if section.carries and sharing_ranks() > 1:
        yield Finding(f"{key}.rollouts.mode", *SHARED_OUT, of_machine=True)
    if section.mismatch_rule != "none" and not section.pools:
        what = f"{section.mismatch_rule} weighs nothing, for the trainer's own model gives no log-probabilities in mode"
        yield Finding(f"{key}.mismatch.rule", f"{what} wait", "set trl.use_vllm: true, or leave it out", fatal=False)


def _heads(context: Context, gpus: int, where: str) -> Iterator[Finding]:
    """Check that the model's attention heads can be shared out over so many GPUs."""
    if gpus == 1:
        return
    from ringlite_cli.memory.engine import heads_fault
    from ringlite_cli.models.sizes import network_without_weights

    try:
        network = network_without_weights(context.recipe.model)
    except Exception:
        return  # what is wrong with the model itself is the SFT stage's to say
    if network is not None and (fault := heads_fault(network.config.get_text_config(), gpus)):
        yield Finding(where, fault, "take a number that divides them")


def gpus_here() -> int:
    """Return the number of CUDA devices that this process sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
