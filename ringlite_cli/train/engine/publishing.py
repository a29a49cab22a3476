"""How the trainer hands its weights to an engine: under their published names, merged, whole where they are sharded.

An engine on a CPU gets a folder, for its repacked tensors cannot be written one by one.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from safetensors.torch import save_file
from torch import Tensor
from trl.generation.vllm_generation import VLLMGeneration

from ringlite_cli.c3po.router import selection_biases
from ringlite_cli.engine import reload_on_cpu
from ringlite_cli.errors import WorkFailed, first_line
from ringlite_cli.models.adapters import check_stays_tied, merged_weights
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.train.base_model import written_dtype
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.weights import computed_weights, published_weights
from ringlite_cli.train.sharded import weights_by_block


class PublishingGeneration(VLLMGeneration):
    """TRL's generation that hands over weights as they are published. `_stats` counts the bytes of a sync."""

    watch: Watch
    _stats: dict[str, float]

    def _reload(self) -> None:
        folder = tempfile.mkdtemp(prefix="ringlite-sync-")
        try:
            policy = self.accelerator.unwrap_model(self.model)
            if self._dist.is_fsdp:
                self._write_published(Path(folder))
            elif is_peft_model(policy):
                policy.base_model.model.save_pretrained(folder, state_dict=self._all_merged(policy))
            else:
                policy.save_pretrained(folder, state_dict=dict(self._computed(policy.state_dict().items())))
            self._stats["sync_bytes"] = float(sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")))
            with engine_folder(folder) as given:
                try:
                    reload_on_cpu(self.llm, given)
                except RuntimeError as error:  # an engine's packed experts are spread out in another way
                    raise WorkFailed(
                        f"vLLM on a CPU does not take the trainer's weights ({first_line(error)})",
                        where="trl.use_vllm",
                        hint="a mixture on a CPU cannot be synced: set use_vllm: false",
                    ) from error
            self.llm.reset_prefix_cache()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write_published(self, folder: Path) -> None:
        """Write whole weights on every rank: of a model that is shared out transformers writes on the first alone."""
        policy = self.accelerator.unwrap_model(self.model)
        network = policy.get_base_model() if is_peft_model(policy) else policy
        kept = network.state_dict().keys()
        buffers = [(name, buffer) for name, buffer in network.named_buffers() if name in kept]
        found = dict(chain(self._published(), published_weights(network, buffers)))
        save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
        network.config.save_pretrained(folder)

    def _iter_named_params(self) -> Iterator[tuple[str, Tensor]]:
        self._stats["sync_bytes"] = 0.0  # a server is told of all tensors before it is sent them
        for name, tensor in self._published():
            self._stats["sync_bytes"] += tensor.numel() * tensor.element_size()
            yield name, tensor

    def _published(self) -> Iterator[tuple[str, Tensor]]:
        policy = self.accelerator.unwrap_model(self.model)
        if is_peft_model(policy):
            yield from published_weights(policy.get_base_model(), self._iter_merged(policy))
        else:
            yield from published_weights(policy, self._computed(super()._iter_named_params()))
        if self.watch.router_bias:
            yield from published_weights(policy, selection_biases(policy))

    def _computed(self, weights: Iterable[tuple[str, Tensor]]) -> Iterable[tuple[str, Tensor]]:
        """Return weights as passes compute with them; those that FSDP2 gathers in bfloat16 are so already."""
        policy, autocast = self.accelerator.unwrap_model(self.model), self.accelerator.mixed_precision == "bf16"
        return computed_weights(policy, weights, self._engine_dtype(), autocast=autocast)

    def _iter_fsdp2_params(self, module: Any) -> Iterator[tuple[str, Tensor]]:
        if is_peft_model(module):
            yield from super()._iter_fsdp2_params(module)
        else:
            for name, tensor in weights_by_block(module):
                yield self._fix_param_name_to_vllm(name), tensor

    def _iter_merged(self, policy: Any) -> Iterator[tuple[str, Tensor]]:
        """Return an adapted model's merged weights under the names of the model without an adapter, one at a time."""
        check_stays_tied(policy)
        if self._dist.is_zero3:
            return super()._iter_named_params()
        return merged_weights(policy, self._engine_dtype())

    def _engine_dtype(self) -> torch.dtype | None:
        """The engine's number format; None where it is not known, as of a server that the run has not started."""
        if self.watch.dtype == "auto" and self.llm is not None:
            found: torch.dtype = self.llm.llm_engine.model_config.dtype
            return found
        name = self.watch.dtype
        if name == "auto" and self.watch.server is not None and self.watch.policy is not None:
            name = written_dtype(self.watch.policy, None)
            name = "auto" if name == "float32" else name  # vLLM takes 16 bits for it, and chooses which
        return None if name == "auto" else getattr(torch, name)

    def _all_merged(self, policy: Any) -> dict[str, Tensor]:
        """Return the merged weights and the buffers, as `save_pretrained` takes them."""
        merged = {name: tensor.clone() for name, tensor in self._iter_merged(policy)}
        kept = policy.base_model.model.state_dict()
        plain = {
            name.replace(".base_layer", ""): tensor
            for name, tensor in kept.items()
            if policy.prefix not in name and "original_module" not in name and "modules_to_save" not in name
        }
        return plain | merged
