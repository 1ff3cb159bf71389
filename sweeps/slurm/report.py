"""What a person reads after a submission."""

from collections import Counter

from sweeps.slurm.submit import Submitted


def submission_lines(made: Submitted, n_tasks: int) -> tuple[list[str], list[str]]:
    """What was submitted or queued already, and what was not or will not run, with its reason."""
    said = [
        f"submitted array {array.job}: {len(array.batch.jobs)} jobs, each {array.batch.minutes} "
        f"min, {array.batch.mem_gb:g} GB, {array.batch.cpus} cpus, {array.batch.gpus} gpus"
        for array in made.arrays
    ]
    if made.n_queued:
        said.append(f"{made.n_queued} runs are in the queue already")
    problems = list(made.notes)
    for why, n_runs in Counter(made.elsewhere.values()).items():
        problems.append(
            f"not submitted: {n_runs} runs, since {why}; cancel it there, or pass force=true"
        )
    if made.problem:
        problems.append(
            f"not submitted: {made.n_left} of {n_tasks} runs, since {made.problem}; launch again "
            f"once there is room"
        )
    return said, problems
