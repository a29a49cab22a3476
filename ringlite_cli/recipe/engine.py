"""Which engine draws responses for select, eval, difficulty and distillation. RL names its own by TRL's `use_vllm`."""

from typing import Literal

from pydantic import model_validator

from ringlite_cli.recipe.endpoint import EndpointSettings
from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.section import Positive, Seconds


class Engine(EndpointSettings):
    """What draws, and how it is set up. Another engine draws other samples of the same policy."""

    name: Literal["auto", "transformers", "vllm", "server"] = objective(
        "auto", description="auto: vllm where it is installed beside a GPU, else transformers"
    )
    gpu_memory_utilization: float = operational(
        0.6, gt=0, le=1, description="share of the GPU's memory that vllm takes"
    )
    max_model_length: int | None = objective(
        None, gt=0, description="tokens of prompt and response; default: 4,096 of prompt, as far as the model goes"
    )
    max_num_seqs: int | None = operational(None, gt=0, description="responses under way at a time; default: vLLM's")
    tensor_parallel_size: int = operational(1, gt=0, description="GPUs that share one model")
    enforce_eager: bool = operational(
        False, description="no compiling and no CUDA graphs: a faster start, slower tokens"
    )
    seeded: bool = objective(
        False,
        description="vllm: each sample has its own random numbers, whatever its batch; slower; always so on several "
        "ranks",
    )
    batch_invariant: bool = objective(
        False,
        description="vllm: by kernels whose results do not depend on what else is in a batch (VLLM_BATCH_INVARIANT); "
        "slower, and for newer GPUs alone",
    )
    url: str = operational("", description="server: its OpenAI-compatible address, up to and with /v1")
    model: str | None = objective(
        None, description="server: its name for the policy; default: the one served from its folder"
    )
    concurrency: Positive = operational(64, description="server: requests under way at a time")
    timeout: Seconds = operational(1800, description="server: seconds that one request may take")

    @model_validator(mode="after")
    def _has_an_address(self) -> "Engine":
        if (self.name == "server") != bool(self.url):
            raise ValueError("name: server and url, its address with /v1, go together")
        return self
