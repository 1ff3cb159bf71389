"""One launch over several jobs: a fault of all runs, and the command at its end."""

from sweeps.directory.run_state import read_state
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submissions import SlurmJobs
from tests.support.pool_runs import behave, statuses
from tests.support.slurm_job import Job, ended


def test_a_fault_of_all_runs_stops_the_jobs_of_a_launch_and_says_which(tmp_path):
    """Three jobs of one run each: two fail, the third is not begun and stays planned."""
    job = Job(tmp_path / "slurm" / "x", n_runs=3, max_failures=2, runs_per_job=1)
    job.split(
        launch="abc", on_end=f"sh -c 'echo $ISOFLOP_STATUS $ISOFLOP_N_FAILED > {tmp_path}/told'"
    )
    for path in job.dirs:
        behave(path, "fail")
    codes = [ended(job.start(index=index))[0] for index in range(3)]
    assert codes == [1, 1, 1]
    assert statuses(job.dirs) == ["failed", "failed", "planned"]
    note = read_state(job.dirs[2]).note
    assert "not started: the last 2 runs failed (launcher.max_failures=2), all with as told" in note
    gone = SlurmJobs(parse_queue("7|7_2|COMPLETED|None"), {job.dirs[2].name: "7_2"})
    assert read_state(job.dirs[2], gone).status == "planned"
    assert (tmp_path / "told").read_text() == "stopped 2\n"


def test_the_last_job_of_a_launch_runs_its_command_once(tmp_path):
    job = Job(tmp_path / "slurm" / "x", n_runs=2, runs_per_job=1)
    job.split(
        launch="abc", on_end=f"sh -c 'echo $ISOFLOP_STATUS $ISOFLOP_SWEEP >> {tmp_path}/told'"
    )
    for path in job.dirs:
        behave(path, "")
    assert ended(job.start(index=1))[0] == 0
    assert not (tmp_path / "told").exists()
    for _ in range(2):
        assert ended(job.start(index=0))[0] == 0
    assert (tmp_path / "told").read_text() == "finished mine\n"
