"""Real FSDP2 on CPU ranks, and what a rank saw of it.

accelerate drops FSDP where processes have no GPU. `allow` puts it back, so that the shipped configuration runs on gloo;
`Seen` writes down what the training passes really worked on, for a test to look at.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import warm

from ringlite_cli.shipped import launch_file

ROOT = Path(__file__).parents[1]


def allow() -> None:
    """Let accelerate shard on CPU ranks as it does on GPUs; call it before the first Accelerator is made."""
    from accelerate import state
    from accelerate.utils import DistributedType

    plain = state.AcceleratorState.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        plugin = kwargs.get("fsdp_plugin")
        asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and plugin is not None
        if asked and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            if self._mixed_precision != "no":
                plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = plugin
            state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    state.AcceleratorState.__init__ = init


def launch(program: Path, *arguments: str, config: Path, ranks: int = 2, sharded: bool = True) -> str:
    """Run a program on CPU ranks, under the shipped FSDP2 configuration or plain; return what it printed.

    config: where the configuration is written. Raises AssertionError with the end of stderr where a rank fails.
    """
    done = start(program, *arguments, config=config, ranks=ranks, sharded=sharded)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def start(
    program: Path,
    *arguments: str,
    config: Path,
    ranks: int = 2,
    sharded: bool = True,
    change: tuple[str, str] = ("", ""),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """As `launch`, with whatever comes out. change: what stands in the shipped configuration, and what replaces it."""
    if sharded:
        shipped = launch_file("fsdp2").read_text(encoding="utf-8")
        here = f"num_processes: {ranks}\nuse_cpu: true\nmain_process_port: 0"
        config.write_text(shipped.replace("num_processes: 8", here).replace(*change), encoding="utf-8")
        launcher = ["accelerate.commands.launch", "--config_file", str(config)]
    else:
        launcher = ["torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone"]
    return warm.run(
        [sys.executable, "-m", *launcher, str(program), *arguments],
        timeout=1500,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"} | environment,
    )


def told(out: Path, ranks: int = 2) -> list[dict[str, Any]]:
    """What each rank of a run into `out` saw."""
    return [json.loads(_facts(out, rank).read_text(encoding="utf-8")) for rank in range(ranks)]


def _facts(out: Path, rank: int) -> Path:
    return out.with_name(f"{out.name}.rank{rank}.json")


class Seen:
    """What the passes of a C3POTrainer or SFTTrainer work on: `report` writes it down."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}

    def model(self, model: Any) -> None:
        """The classes of a model's parameters, those that are whole now, and how many units they are sharded in."""
        from torch.distributed.fsdp import FSDPModule
        from torch.distributed.tensor import DTensor

        kinds = {"DTensor" if isinstance(p, DTensor) else "Tensor" for p in model.parameters()}
        self.facts["parameters"] = sorted(kinds)
        self.facts["gathered"] = sorted(n for n, p in model.named_parameters() if not isinstance(p, DTensor))
        self.facts["units"] = sum(isinstance(m, FSDPModule) for m in model.modules())
        self.facts["dtypes"] = sorted({str(p.dtype) for p in model.parameters()})

    def report(self, out: Path) -> None:
        """Write the facts beside the run's folder."""
        _facts(out, int(os.environ.get("RANK", "0"))).write_text(json.dumps(self.facts), encoding="utf-8")
