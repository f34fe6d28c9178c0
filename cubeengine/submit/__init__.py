"""Batch jobs: site files, batch scripts, their submission to Slurm, and what is known of submitted jobs."""
