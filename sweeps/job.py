"""Old name of `sweeps.slurm.job_main`; Slurm scripts submitted before the move ask for it."""

import runpy

if __name__ == "__main__":
    runpy.run_module("sweeps.slurm.job_main", run_name="__main__")
