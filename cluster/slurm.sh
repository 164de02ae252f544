#!/bin/bash
# Slurm: Ray on all nodes of an allocation, the sweep on the first, everything stopped at its end.
#
#   python -m sweeper data fetch esc50                                     # once, where there is a network
#   sbatch cluster/slurm.sh --dataset esc50 --results /shared/results      # the options of `sweeper run ablations`
#   squeue --me                                                            # then: tail -f sweeper-JOB.out
#   scancel JOB                                                            # what is finished stays finished
#
# It costs what the partition charges for these nodes and hours. Submit it from the project's folder, which all nodes
# see, after the README's install into .venv. Out of time? The same sbatch continues where it ended. At the end Ray stops
# all of your Ray processes on these nodes: don't share a node between two such jobs.
#SBATCH --job-name=sweeper
#SBATCH --output=sweeper-%j.out
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=24:00:00
set -euo pipefail
. .venv/bin/activate
# Each line is read to the end: what writes to a closed pipe would end the job.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
address=$(getent ahostsv4 "$head" | awk 'NR == 1 {print $1}'):$((20000 + SLURM_JOB_ID % 10000))
# Other users of a node have their own Ray there, and no way into this one: it asks for a token that only the job's
# environment has, and keeps its files in a folder that only its owner can enter.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_TMPDIR=/tmp/ray-$SLURM_JOB_ID
srun mkdir -m 700 "$RAY_TMPDIR"
trap 'srun rm -rf "$RAY_TMPDIR"' EXIT
unset OMP_NUM_THREADS # it would decide a trial's threads
srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" \
    -- python -m sweeper run ablations --address "$address" "$@"
