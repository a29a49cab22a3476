"""A rank's program (RUN POLICY ENGINE): responses are drawn by all ranks, long after the group's last collective.

The group's time limit is shorter than the first rank's work before the drawing: waiting by a collective would fail.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.ranks import call_ranks, is_follower, others_end_too, signs_for_others
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.stages.parts.samplers import stage_samplers
from ringlite_cli.stages.walk.ranks import follow

LIMIT = 12.0
SETTINGS = SamplingSettings(max_completion_length=12, seed=3)
REQUESTS = [Request(f"p{i}", [{"role": "user", "content": f"w{i} w{i + 7} w3"}], 3) for i in range(5)]


def main(run: Path, policy: str, engine: Engine) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=timedelta(seconds=LIMIT))
    dist.barrier()
    if is_follower():
        follow(None, run)
    else:
        time.sleep(1.3 * LIMIT)
        with (
            others_end_too(run),
            signs_for_others(run),
            stage_samplers(run, ".", engine, "float32", row_tokens=512) as make_sampler,
        ):
            groups = make_sampler(policy, SETTINGS).sample(REQUESTS)
            write_json(run / "samples.json", [[[s.index, s.text, s.entropy] for s in group] for group in groups])
        call_ranks(run, None)
    dist.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Engine(**json.loads(sys.argv[3])))
