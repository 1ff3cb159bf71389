"""Runs as Slurm jobs: submit, signals, queue. May import launch and below."""
