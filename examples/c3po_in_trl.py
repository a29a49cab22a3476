"""C3PO in a TRL script of your own: GRPOTrainer and GRPOConfig become C3POTrainer and C3POConfig.

    python examples/c3po_in_trl.py MODEL PROBLEMS.jsonl

MODEL is a Hugging Face id or folder with a chat template. Each row of PROBLEMS.jsonl has a `prompt` (a text, or a list
of messages) and an `answer`.
"""

import sys

from datasets import load_dataset

from ringlite import C3POConfig, C3POTrainer, verifiers


def main(model: str, problems: str) -> None:
    ds = load_dataset("json", data_files=problems, split="train")
    args = C3POConfig("out", token_budget=8192, prompts_per_step=16, num_generations=8)
    C3POTrainer(model=model, reward_funcs=verifiers.math(), args=args, train_dataset=ds).train()


if __name__ == "__main__":
    main(*sys.argv[1:])
