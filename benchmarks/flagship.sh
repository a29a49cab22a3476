#!/usr/bin/env bash
# Ling-lite-1.5's exact shape with random weights on one node of 8 GPUs, by the numbers of the recipe ring-lite-8gpu:
#   benchmarks/flagship.sh make          write the weights, layer by layer, in bfloat16, and SmolLM2's tokenizer
#   benchmarks/flagship.sh sft           10 steps of SFT, a row of 32,768 tokens a GPU
#   benchmarks/flagship.sh rl-wait 2     RL until step 2: responses of up to 23,552 tokens, colocated engines, mode wait
#   benchmarks/flagship.sh kill          step 3, in which a rank is killed
#   benchmarks/flagship.sh resume        step 3, from the checkpoint of step 2; the policy is saved
#   benchmarks/flagship.sh read          vLLM reads the policy and draws from it
#   benchmarks/flagship.sh rl-carry 3    the same with rollouts: {mode: carry}
#   benchmarks/flagship.sh table         what the parts measured, beside the plan
# Each call takes 10 minutes at most (SECONDS_EACH=570) and goes on where the last one stopped: steps of RL may be asked
# for one by one. Without a part: all, one after the other. --rehearse before a part: a toy on 2 CPU ranks, the same code.
# --layers 4 --mean 600 after a part (and its steps): a slice on fewer GPUs, with shorter responses.
# FLAGSHIP: the folder of it all (default: flagship-run). OPTIM: of training; adamw_torch_8bit halves the checkpoints.
set -euo pipefail
cd "$(dirname "$0")/.."

export FLAGSHIP=${FLAGSHIP:-flagship-run} SECONDS_EACH=${SECONDS_EACH:-570}
words=()
if [ "${1:-}" = --rehearse ]; then
  words=(--rehearse)
  shift
fi
if [ $# -gt 0 ]; then
  exec python benchmarks/flagship.py "${words[@]}" "$@"
fi
for part in make sft "rl-wait 2" kill resume read "rl-carry 3" table; do
  # shellcheck disable=SC2086 # a part and its steps
  python benchmarks/flagship.py "${words[@]}" $part || echo "  $part ended with $?" # the table shows what there is
done
