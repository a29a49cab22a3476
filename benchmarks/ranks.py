"""An evaluation by one process and by several ranks of this machine, a core each.

    python benchmarks/ranks.py [--model FOLDER] [--ranks 2] [--problems 400] [--k 16] [--tokens 128] [--pairs 2]

Without --model, the policy is a small random one. Prints, for each pair, the seconds of both commands, start and end
included, and how many responses are the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.launcher import without_rank


def make_policy(folder: Path) -> Path:
    """Write a random policy of a few million weights, with a tokenizer of characters."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    characters = {character: number for number, character in enumerate(map(chr, range(32, 127)))}
    words = characters | {"<end>": len(characters), "<pad>": len(characters) + 1}
    plain = Tokenizer(models.WordLevel(words, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen3", vocab_size=len(words), num_key_value_heads=2, head_dim=64, eos_token_id=words["<end>"], **shape
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(command: list[str], ranks: int) -> float:
    """Run a command on so many ranks; return its seconds."""
    common = without_rank(os.environ) | {"OMP_NUM_THREADS": "1"}
    many = {
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29777",
    }
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            command,
            env=common | (many | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
        )
        for rank in range(ranks)
    ]
    said = [process.communicate()[1] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(said[0].decode())
    return time.perf_counter() - started


def responses(out: Path) -> dict[tuple[str, int], str]:
    return {(row["id"], row["sample"]): row["response"] for row in read_jsonl(out / "responses.jsonl")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    for name, default in (("ranks", 2), ("problems", 400), ("k", 16), ("tokens", 128), ("pairs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or str(make_policy(folder / "policy"))
        data = folder / "gsm8k.json"
        rows = [{"question": f"{i} + {i + 1}?", "answer": f"#### {2 * i + 1}"} for i in range(args.problems)]
        data.write_text(json.dumps(rows))
        given = [
            "--tasks",
            "gsm8k",
            "--data",
            f"gsm8k={data}",
            "--k",
            str(args.k),
            "--max-new-tokens",
            str(args.tokens),
        ]
        print(f"{'pair':>4} {'1 process':>10} {f'{args.ranks} ranks':>10} {'ratio':>6}  same responses")
        for pair in range(args.pairs):
            seconds, found = [], []
            for ranks in (1, args.ranks):
                out = folder / f"{pair}-{ranks}"
                command = [sys.executable, "-m", "ringlite_cli", "eval", "--model", model, *given, "--out", str(out)]
                seconds.append(run(command, ranks))
                found.append(responses(out))
            print(
                f"{pair:>4} {seconds[0]:>9.1f}s {seconds[1]:>9.1f}s {seconds[0] / seconds[1]:>6.2f}  "
                f"{sum(found[0][key] == found[1].get(key) for key in found[0])} of {len(found[0])}"
            )


if __name__ == "__main__":
    main()
