"""What Slurm jobs ask for, and how runs are packed into them."""

from pathlib import Path

from sweeps.launch.distributed import first_host, rank_environment
from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm.resources import UNKNOWN_MINUTES, batches, concurrency
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submit import scripts
from sweeps.spec.launcher import LauncherSpec

SLURM = LauncherSpec(kind="slurm", cpus=2)


def tasks(*seconds, memory=0.0):
    return [
        QueuedRun(Path(f"/r/{i}"), seconds=s, flops=1.0, memory_bytes=memory)
        for i, s in enumerate(seconds)
    ]


def spec(**values):
    return LauncherSpec(**{"kind": "slurm", "cpus": 1, **values})


def test_runs_of_like_cost_share_an_array_and_others_do_not():
    made = batches(tasks(10, 20, 30, 10_000, 11_000), spec())
    assert [(batch.minutes, len(batch.jobs)) for batch in made] == [(480, 2), (10, 3)]


def test_packing_puts_runs_of_like_length_together_and_every_run_in_one_job():
    made = batches(tasks(*range(1, 11)), spec(runs_per_job=4))
    jobs = [job for batch in made for job in batch.jobs]
    assert sorted(len(job) for job in jobs) == [2, 4, 4]
    assert [task.seconds for task in jobs[0]] == [10, 9, 8, 7]
    assert sorted(task.seconds for job in jobs for task in job) == list(range(1, 11))


def test_concurrent_runs_share_a_jobs_time_and_add_their_memory():
    alone = batches(tasks(3600, 3600, memory=4e9), spec(runs_per_job=2))[0]
    side_by_side = batches(tasks(3600, 3600, memory=4e9), spec(runs_per_job=2, cpus=2))[0]
    assert side_by_side.minutes < alone.minutes
    assert side_by_side.mem_gb > alone.mem_gb


def test_unknown_durations_get_a_default_and_settings_override_predictions():
    assert batches(tasks(0), spec())[0].minutes == UNKNOWN_MINUTES
    fixed = batches(tasks(1e6, memory=1e12), spec(time_minutes=7, mem_gb=3))[0]
    assert (fixed.minutes, fixed.mem_gb) == (7, 3)


def test_a_retry_scales_what_the_runs_had():
    base, scaled = batches(tasks(60), spec())[0], batches(tasks(60), spec(), 2.0, 3.0)[0]
    assert (scaled.minutes, scaled.mem_gb) == (2 * base.minutes, 3 * base.mem_gb)


def test_long_arrays_are_cut():
    batch = batches(tasks(*[1.0] * 25), spec())[0]
    assert [len(part.jobs) for part in batch.arrays(10)] == [10, 10, 5]


def test_concurrency_is_packed_runs_a_gpu_or_cores_by_threads():
    assert concurrency(spec(gpus=1, runs_per_gpu=4)) == 4
    assert concurrency(spec(gpus=8)) == 1
    assert concurrency(spec(cpus=8, threads_per_worker=2)) == 4


def test_every_setting_reaches_the_script(tmp_path):
    launcher = spec(
        partition="gpu",
        account="lab",
        qos="high",
        constraint="a100",
        gpus=2,
        nodes=2,
        cpus=16,
        extra={"exclude": "bad-node"},
        setup=["module load cuda"],
        env={"HF_HUB_OFFLINE": "1", "NOTE": "two words"},
        max_parallel=3,
        signal_seconds=300,
    )
    [(_, script)], _ = scripts(tasks(60, 60), launcher, tmp_path, "mine")
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "#SBATCH --qos=high",
        "#SBATCH --constraint=a100",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --nodes=2",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --exclude=bad-node",
        "#SBATCH --array=0-1%2",
        "#SBATCH --signal=USR2@300",
        "#SBATCH --requeue",
        "module load cuda",
        "export HF_HUB_OFFLINE=1",
        "export NOTE='two words'",
    ):
        assert line in script.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_a_queue_answers_for_raw_and_array_ids_and_forgets_ended_jobs():
    queue = parse_queue(
        "12|10_1|RUNNING|None\n10|10_2|PENDING|Resources\n9|9|CANCELLED by 0|None\nrubbish"
    )
    assert queue.has("12") and queue.has("10_1") and queue.has("10_2")
    assert not queue.has("9") and not queue.has("77")
    assert "pending (Resources)" in queue.describe("10_2")


def test_ranks_of_two_nodes_number_through(monkeypatch):
    monkeypatch.setenv("SLURM_NODEID", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[07-08]")
    env = rank_environment(spec(gpus=4, nodes=2), 3)
    assert (env["RANK"], env["WORLD_SIZE"], env["LOCAL_RANK"]) == ("7", "8", "3")
    assert env["MASTER_ADDR"] == "gpu07"


def test_first_host_of_slurms_lists():
    assert first_host("n[1-2,7]") == "n1"
    assert first_host("a,b") == "a"
    assert first_host("node3") == "node3"
    assert first_host("x,y[1-2]") == "x"


def test_a_trunk_is_trained_by_one_job_in_ascending_order():
    made = [
        QueuedRun(Path(f"/r/{trunk}{n}"), seconds=600.0 * n, trunk=trunk, n_tokens=n)
        for n in (3, 1, 2)
        for trunk in ("a", "b")
    ]
    jobs = [job for batch in batches(made, spec()) for job in batch.jobs]
    assert [[task.n_tokens for task in job] for job in jobs] == [[1, 2, 3], [1, 2, 3]]
    packed = [job for batch in batches(made, spec(runs_per_job=6, cpus=2)) for job in batch.jobs]
    assert [len(job) for job in packed] == [6]


def test_a_job_of_a_trunk_has_time_for_all_its_runs():
    chain = [QueuedRun(Path(f"/r/{n}"), seconds=1200.0, trunk="t", n_tokens=n) for n in (1, 2)]
    (alone,) = batches(chain[:1], spec(cpus=2))
    (whole,) = batches(chain, spec(cpus=2))
    assert alone.minutes < whole.minutes
