#!/bin/bash
# cubeengine 1.2.3: cube delay of xpptut15 run 252
#SBATCH --job-name=xpptut15_r0252_delay
#SBATCH --output="/data/it's 100%% \"logs\"/xpptut15_r0252_delay_%j.log"
#SBATCH --open-mode=append
#SBATCH --account="it's \"a\" $HOME `date` #1 100% \\ é"
#SBATCH --reservation="night shift"
#SBATCH --ntasks=3
#SBATCH --cpus-per-task=1
#SBATCH --time=90
#SBATCH --signal=B:TERM@120
#SBATCH --mem=8192M
#SBATCH --exclusive
#SBATCH --no-requeue
#SBATCH --constraint=rome

# Dollars and backticks in names are meant to stay.
# shellcheck disable=SC2016
set -euo pipefail
umask 002
export SIT_PSDM_DATA='/data/it'"'"'s "a" $HOME `date` #1 100% \ é'

# Environment of the site.
set +u
module load mpi
set -u

# For `cubeengine jobs`.
export CUBEENGINE_PROGRESS='/data/it'"'"'s 100% "logs"/xpptut15_r0252_delay_'"${SLURM_JOB_ID:-0}".json

# Slurm sends SIGTERM 120 s before the time limit. What is done by then is kept: submitted again, or put back
# into the queue, the job continues from there.
exec mpirun \
  cubeengine run '/home/it'"'"'s "a" $HOME `date` #1 100% \ é/cube.yaml' \
  --set 'cubes=[it'"'"'s "a" $HOME `date` #1 100% \ é]' \
  --set axes.0.unit=ps \
  --experiment xpptut15 \
  --run 252 \
  --output '/data/it'"'"'s "a" $HOME `date` #1 100% \ é.zarr' \
  --events 1000 \
  --every 3 \
  --memory '4 GiB' \
  --launcher mpi \
  --force --overwrite --resume
