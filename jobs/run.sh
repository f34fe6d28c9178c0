#!/bin/bash
# cubeengine @version@: cube @cube@ of @label@
@directives@

# Dollars and backticks in names are meant to stay.
# shellcheck disable=SC2016
set -euo pipefail
umask 002
@environment@
# For `cubeengine jobs`.
export CUBEENGINE_PROGRESS=@progress@"${SLURM_JOB_ID:-0}".json

# Slurm sends SIGTERM @seconds@ s before the time limit. What is done by then is kept: submitted again, or put back
# into the queue, the job continues from there.
exec @command@
