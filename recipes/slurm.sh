#!/bin/sh
# A Slurm job array: sbatch recipes/slurm.sh. Each task runs its share of the seeds, and goes on from
# where it was when it is requeued. When all are done:
#   unplug merge shard-*.json --json unplug.json --junit unplug.xml
#SBATCH --job-name=unplug
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=2G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
set -eu

# Slurm signals the shell; exec makes unplug the one that gets it, and ends cleanly.
exec unplug run --seeds 0..100000 --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --jobs "$SLURM_CPUS_PER_TASK" --memory-mib 2048 \
    --resume "state-$SLURM_ARRAY_TASK_ID.json" --json "shard-$SLURM_ARRAY_TASK_ID.json"
