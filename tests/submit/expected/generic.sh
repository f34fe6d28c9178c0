#!/bin/bash
# cubeengine 1.2.3: cube delay of xpptut15 run 252
#SBATCH --job-name=xpptut15_r0252_delay
#SBATCH --output=/data/logs/xpptut15_r0252_delay_%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=1
#SBATCH --time=2:00:00
#SBATCH --signal=TERM@120
#SBATCH --mem-per-cpu=2560M
#SBATCH --requeue

# Dollars and backticks in names are meant to stay.
# shellcheck disable=SC2016
set -euo pipefail
umask 002

# For `cubeengine jobs`.
export CUBEENGINE_PROGRESS=/data/logs/xpptut15_r0252_delay_"${SLURM_JOB_ID:-0}".json

# Slurm sends SIGTERM 120 s before the time limit. What is done by then is kept: submitted again, or put back
# into the queue, the job continues from there.
exec srun --mpi=pmi2 --kill-on-bad-exit=1 \
  cubeengine run /home/ada/cube.yaml \
  --output /data/xpptut15_r0252_delay.zarr \
  --launcher mpi \
  --resume
