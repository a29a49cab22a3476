"""The `ringlite` command with FSDP2 on CPU ranks (FACTS, then its own words); FACTS gets what it trained on.

DIFFERS: what the second rank sees other than the first: "weights" of the model, or the "GPU" that it has.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fsdp_on_cpu

fsdp_on_cpu.allow()

from sharded_rank import watch  # noqa: E402

from ringlite_cli.__main__ import main  # noqa: E402


def differ(what: str) -> None:
    """Have this rank see something else than the first does."""
    from ringlite_cli.train import devices
    from ringlite_cli.train.resume import agreed

    if what == "GPU":
        devices.gpu_name = lambda place=None: f"NVIDIA {('H100', 'A100')[int(os.environ['RANK'])]}"
    elif what == "weights" and os.environ["RANK"] == "1":
        agreed.describe_model = lambda _: {"digest": "of an older copy"}


if __name__ == "__main__":
    seen = fsdp_on_cpu.Seen()
    watch(seen)
    differ(os.environ.get("DIFFERS", ""))
    facts = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        seen.report(facts)
