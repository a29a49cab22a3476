#!/usr/bin/env bash
# Any ringlite command on several nodes of Slurm, a rank for each GPU:
#   sbatch --nodes 4 "$(ringlite launcher slurm)" run ring-lite --runs-dir /shared/runs --max-hours 23.5
# CONFIG: how training is shared out (a file of accelerate's, or the name ddp or fsdp2). PORT: where the nodes meet.
#SBATCH --job-name=ringlite
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@600
#SBATCH --output=ringlite-%j.log
set -euo pipefail

HEAD_NODE=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p) # reads all: a broken pipe would end the job
export HEAD_NODE
CONFIG=${CONFIG:-fsdp2}
[ -f "$CONFIG" ] || CONFIG=$(python -m ringlite_cli launcher "$CONFIG")
export CONFIG
export PORT=${PORT:-$((20000 + SLURM_JOB_ID % 10000))}
export GPUS=${SLURM_GPUS_ON_NODE:-8}

# One launcher a node; srun ends all nodes when one of them fails. Slurm signals the shell alone: its warning goes to the
# ranks, which save and stop; the launcher would die of it, and the ranks with it
exec srun --kill-on-bad-exit=1 bash -c '
  setsid accelerate launch --config_file "$CONFIG" \
    --num_machines "$SLURM_NNODES" --num_processes "$((SLURM_NNODES * GPUS))" --machine_rank "$SLURM_NODEID" \
    --main_process_ip "$HEAD_NODE" --main_process_port "$PORT" \
    -m ringlite_cli "$@" &
  launcher=$!
  trap "pkill -USR1 -P $launcher" USR1
  trap "kill -TERM $launcher" TERM
  while true; do
    code=0
    wait "$launcher" || code=$?
    kill -0 "$launcher" 2>/dev/null || exit "$code"
  done' ringlite "$@"
