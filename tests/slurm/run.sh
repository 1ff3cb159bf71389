#!/usr/bin/env bash
# Install Slurm where it is missing, start the loopback cluster, run the Slurm tests, stop it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}

bash tests/slurm/cluster.sh install
bash tests/slurm/cluster.sh stop
bash tests/slurm/cluster.sh start
trap 'bash tests/slurm/cluster.sh stop' EXIT
export SLURM_CONF
SLURM_CONF=$(bash tests/slurm/cluster.sh conf)
"$python" -m pytest tests/slurm -m slurm --durations=0 "$@"
