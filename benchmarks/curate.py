"""Rows a second of curation's text steps, beside datatrove's MinHash deduplication of the same rows.

    python benchmarks/curate.py --rows 50000 [--workers 2] [--peer PYTHON | --no-peer]

Ours: load from JSONL, all text rules, exact and near duplicates, decontamination, and writing the sets with the trail.
Theirs: the four steps of datatrove's MinHash pipeline (signatures, buckets, clusters, filter) with its own defaults,
from JSONL to JSONL. `--peer` is a Python that has `datatrove[io,processing]` and `spacy` (default: this one); where it
has not, only ours is timed. Printed too is the longest time in which ours told no progress. The last line is `ratio R`:
our rows a second over theirs.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

WORDS = 6000
HELD_OUT = 500


def synthetic(rows: int, seed: int) -> Iterator[dict[str, str]]:
    """Word problems of 30 to 90 words with numbers; 5 % exact copies, 5 % near copies, some boilerplate and faults."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghilmnoprstuvw", k=rng.randint(3, 9))) for _ in range(WORDS)]
    tail = "where m and n are relatively prime positive integers. Find m plus n."
    made: list[tuple[str, str]] = []
    for _ in range(rows):
        dice, answer = rng.random(), str(rng.randint(0, 999))
        if made and dice < 0.05:
            text, answer = rng.choice(made)
        elif made and dice < 0.10:
            text, answer = rng.choice(made)
            parts = text.split()
            parts[rng.randrange(len(parts))] = rng.choice(words)
            text = " ".join(parts)
        else:
            parts = rng.choices(words, k=rng.randint(30, 90))
            for place in rng.sample(range(len(parts)), 4):
                parts[place] = str(rng.randint(2, 9999))
            text = " ".join(parts) + (f", {tail}" if dice < 0.25 else "?")
            text += " See the figure below." if dice > 0.98 else ""
            if len(made) < 20_000:
                made.append((text, answer))
        yield {"text": text, "answer": answer}


def write(folder: Path, rows: int, seed: int) -> None:
    """train.jsonl, and eval.jsonl with a few rows of train among it."""
    held = list(synthetic(HELD_OUT, seed + 1))
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(synthetic(rows, seed)):
            if number % 1000 == 17:
                row = held[number // 1000 % HELD_OUT]
            file.write(json.dumps({"id": str(number), **row}) + "\n")
    with (folder / "eval.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": f"e{number}", **row}) + "\n" for number, row in enumerate(held))


def ours(folder: Path, workers: int) -> tuple[dict[str, object], float, str]:
    """Curates the files; returns the funnel's counts, and the longest silence: its seconds, and after which word."""
    from ringlite_cli.data.curate import Steps, curate
    from ringlite_cli.problems import Problem, Verdict
    from ringlite_cli.recipe.schema import ProblemSet, Source

    def trust(pairs: list[tuple[Problem, str]]) -> list[Verdict]:
        return [Verdict("trusted", 1.0) for _ in pairs]  # the text steps are timed, not the verifiers

    said = [(time.monotonic(), "the start")]
    columns = {"prompt": "text", "answer": "answer"}
    sources = [
        Source(path=str(folder / "train.jsonl"), columns=columns, domain="math"),
        Source(path=str(folder / "eval.jsonl"), columns=columns, domain="math", split="eval"),
    ]
    result = curate(
        sources,
        {"train": ProblemSet(), "eval": ProblemSet(split="eval")},
        trust,  # type: ignore[arg-type]
        folder / "ours",
        seed=1,
        generators={},
        steps=Steps(workers=workers),
        progress=lambda step, done, total: said.append((time.monotonic(), f"{step}, {done} of {total}")),
    )
    said.append((time.monotonic(), "the end"))
    silence, after = max((then - now, word) for (now, word), (then, _) in pairwise(said))
    return dict(result.funnel["dropped"]), silence, after


_PEER = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

if __name__ == "__main__":
    folder, workers = sys.argv[1], int(sys.argv[2])
    config = MinhashConfig()
    buckets = config.num_buckets
    read = lambda: JsonlReader(folder + "/parts", text_key="text", id_key="id")
    out = folder + "/theirs"
    def run(steps, tasks, name):
        LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=f"{out}/logs/{name}").run()
    run([read(), MinhashDedupSignature(f"{out}/signatures", config=config)], workers, "signatures")
    run([MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=config)], buckets, "buckets")
    run([MinhashDedupCluster(f"{out}/buckets", f"{out}/remove", config=config)], 1, "clusters")
    run([read(), MinhashDedupFilter(f"{out}/remove", exclusion_writer=JsonlWriter(f"{out}/removed")),
         JsonlWriter(f"{out}/kept")], workers, "filter")
"""


def theirs(folder: Path, workers: int, python: str) -> float | None:
    """Seconds of datatrove's pipeline over train.jsonl; None where it is not installed."""
    probe = subprocess.run([python, "-c", "import datatrove"], capture_output=True, check=False)
    if probe.returncode:
        return None
    (folder / "parts").mkdir()
    files = [(folder / "parts" / f"{n}.jsonl").open("w", encoding="utf-8") for n in range(workers)]
    with (folder / "train.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            files[number % workers].write(line)
    for file in files:
        file.close()
    script = folder / "peer.py"
    script.write_text(_PEER, encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run([python, str(script), str(folder), str(workers)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"datatrove failed:\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer", default=sys.executable, help="a Python with datatrove[io,processing] and spacy")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, arguments.rows, arguments.seed)
        started = time.monotonic()
        dropped, silence, after = ours(folder, arguments.workers)
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + arguments.workers * (
            resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        )
        print(f"{arguments.rows:,} rows, {arguments.workers} workers; dropped {dropped}")
        print(f"{'':24} {'seconds':>9} {'rows/s':>9}")
        print(f"{'ringlite, all text steps':24} {seconds:9.1f} {arguments.rows / seconds:9,.0f}")
        print(f"longest silence {silence:.1f} s, after: {after}")
        print(f"peak memory of all processes together, at most {peak / 2**20:.2f} GiB")
        other = None if arguments.no_peer else theirs(folder, arguments.workers, arguments.peer)
        if other is None:
            print(
                "datatrove is not installed there: pip install 'datatrove[io,processing]' spacy, or give --peer PYTHON"
            )
            return
        print(f"{'datatrove, MinHash alone':24} {other:9.1f} {arguments.rows / other:9,.0f}")
        print(f"ratio {other / seconds:.2f}")


if __name__ == "__main__":
    main()
