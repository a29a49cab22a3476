"""The same curation by `curate`, and by datatrove's executors: this machine's, Slurm's and Ray's.

    python benchmarks/executors.py [--data FOLDER] [--rows 2000] [--parts 4] [--on local slurm ray]

FOLDER (default: $RINGLITE_DATA) holds the files that data_cards/ describe. Rows are training problems of MATH and AIME
with their answers, and changed copies of them; MATH-500 is held out; answers go to the real verifiers. Needs the extra
`scale`; `ray` for that executor. Without a cluster, Slurm is rehearsed: a stand-in for `sbatch` runs the script that
datatrove writes, each task of its array in a process of its own, and refuses a job whose dependency did not end well.
Prints how many rows each keeps and drops, and whether ids and reasons are those of `curate`.
"""

import argparse
import json
import os
import random
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ringlite.run import curate
from ringlite_cli.data.executors import Job, run_here, stages
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards.verifiers import Verifiers

COLUMNS = {"prompt": "q", "answer": "a"}

SBATCH = """#!{python}
# A stand-in for Slurm's sbatch: runs the tasks of an array one after the other, and prints a job's number.
import os, re, subprocess, sys
folder = {folder!r}
*options, script = sys.argv[1:]
text = open(script).read()
asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.M)) | dict(
    re.findall(r"--([a-z-]+)=(.*)", "\\n".join(options)))
job = len(os.listdir(folder))
for other in re.findall(r"afterok:(\\d+)", asked.get("dependency", "")):
    if open(os.path.join(folder, other)).read() != "0":  # as Slurm, which cancels such a job
        sys.exit(f"job {{other}} did not end well")
first, last = map(int, re.match(r"(\\d+)-(\\d+)", asked.get("array", "0-0")).groups())
exported = dict(part.split("=", 1) for part in asked.get("export", "").split(",") if "=" in part)
worst = 0
for task in range(first, last + 1):
    known = os.environ | exported | {{
        "SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_ID": str(job), "SLURM_NODELIST": "localhost"}}
    with open(asked["output"].replace("%A", str(job)).replace("%a", str(task)), "w") as log:
        ran = subprocess.run(["bash", script], env=known, stdout=log, stderr=log)
    worst = max(worst, ran.returncode)
with open(os.path.join(folder, str(job)), "w") as file:
    file.write(str(worst))
print(f"Submitted batch job {{job}}")
"""
SRUN = """#!/bin/bash
# A stand-in for Slurm's srun: one process, here.
while [[ "$1" == -* ]]; do [[ "$1" == "-n" ]] && shift; shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
# A stand-in for Slurm's `scontrol show hostnames LIST`.
echo "${@: -1}"
"""


def write_shards(data: Path, folder: Path, rows: int, seed: int) -> None:
    """Problems of MATH and AIME in five files; one in eight stands a second time, changed a little."""
    rng = random.Random(seed)
    lines = [{"q": r["problem"], "a": r["answer"]} for r in json.loads((data / "train/math.json").read_text())]
    aime = json.loads((data / "train/aime_1983_2023.json").read_text())
    lines = rng.sample(lines, rows - rows // 5) + [
        {"q": r["problem"], "a": str(r["answer"])} for r in aime[: rows // 5]
    ]
    for n in range(0, len(lines), 8):
        copy = dict(lines[n])
        if n % 3 == 1:
            copy["q"] = "Solve the following: " + copy["q"].replace("\\frac", "\\dfrac")
        elif n % 3 == 2:
            copy["a"] = "17"
        lines.append(copy)
    rng.shuffle(lines)
    folder.mkdir(parents=True)
    for shard in range(5):
        text = "".join(json.dumps(line) + "\n" for line in lines[shard::5])
        (folder / f"{shard}.jsonl").write_text(text, encoding="utf-8")


def by_curate(source: Source, data: Path, folder: Path) -> tuple[list[str], Counter[str], Path]:
    """(ids kept, counts of reasons, the held-out set), as `ringlite curate` finds them."""
    held = Source(path=str(data / "eval/math500.json"), adapter="math", domain="math", split="eval")
    sets = {"train": ProblemSet(), "eval": ProblemSet(split="eval")}
    done = curate([source, held], sets, out=folder, seed=1)
    kept = sorted(p.id for p in read_problems(done["train"]))
    dropped = (folder / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    reasons = Counter(line["reason"] for line in map(json.loads, dropped) if line["source"] != "math500.json")
    return kept, reasons, done["eval"]


def of_job(job: Job) -> tuple[list[str], Counter[str]]:
    kept = sorted(p.id for path in sorted((job.folder / "kept").glob("*.parquet")) for p in read_problems(path))
    dropped = [line for path in (job.folder / "dropped").glob("*.jsonl") for line in path.open(encoding="utf-8")]
    return kept, Counter(json.loads(line)["reason"] for line in dropped)


def on_local(job: Job) -> None:
    run_here(job, workers=2)


def on_slurm(job: Job) -> None:
    """As docs/curation_at_scale.md says, with stand-ins for Slurm's commands before the path."""
    from datatrove.executor import SlurmPipelineExecutor

    tools, jobs = job.folder / "tools", job.folder / "slurm_jobs"
    jobs.mkdir(parents=True)
    tools.mkdir()
    sbatch = SBATCH.format(python=sys.executable, folder=str(jobs))
    for name, text in (("sbatch", sbatch), ("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755 | stat.S_IXUSR)
    os.environ["PATH"] = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    before = None
    for stage in stages(job):
        before = SlurmPipelineExecutor(
            stage.pipeline,
            tasks=stage.tasks,
            depends=before,
            job_name=stage.name,
            partition="cpu",
            time="10:00:00",
            logging_dir=f"{job.folder}/logs/{stage.name}",
        )
    assert before is not None
    before.run()


def on_ray(job: Job) -> None:
    import ray
    from datatrove.executor import RayPipelineExecutor

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    for stage in stages(job):
        RayPipelineExecutor(stage.pipeline, tasks=stage.tasks, logging_dir=f"{job.folder}/logs/{stage.name}").run()
    ray.shutdown()


EXECUTORS: dict[str, Callable[[Job], None]] = {"local": on_local, "slurm": on_slurm, "ray": on_ray}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("RINGLITE_DATA"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--keep", help="an empty folder for all files, in place of a temporary one")
    parser.add_argument("--on", nargs="+", choices=list(EXECUTORS), default=list(EXECUTORS))
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("--data or RINGLITE_DATA must name the folder of data")
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(arguments.keep or name), Path(arguments.data)
        write_shards(data, folder / "shards", arguments.rows, seed=17)
        source = Source(path=str(folder / "shards"), columns=COLUMNS, domain="math")
        started = time.monotonic()
        kept, reasons, held = by_curate(source, data, folder / "curate")
        print(
            f"curate  {len(kept)} kept, {reasons.total()} dropped {dict(reasons)}, {time.monotonic() - started:.0f} s"
        )
        for executor in arguments.on:
            job = Job(source, folder / executor, arguments.parts, Verifiers, held=[held])
            started = time.monotonic()
            EXECUTORS[executor](job)
            ids, why = of_job(job)
            same = "the same rows and reasons" if (ids, why) == (kept, reasons) else f"NOT THE SAME: {dict(why)}"
            print(f"{executor:7} {len(ids)} kept, {why.total()} dropped: {same}, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
