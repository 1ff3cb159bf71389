"""What jobs ask for, compared with what a partition and its nodes have."""

import pytest

from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm.limits import minutes_of, partitions
from sweeps.slurm.submit import scripts, submit
from sweeps.spec.launcher import LauncherSpec
from tests.support.fake_slurm import FakeSlurm


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path / "fake", monkeypatch)


def notes(tmp_path, hours=0.01, **values):
    """What a launch of two runs of so many hours says of its jobs."""
    launcher = LauncherSpec(**{"kind": "slurm", "cpus": 1, **values})
    runs = [QueuedRun(tmp_path / "runs" / f"r{i}", seconds=3600 * hours) for i in range(2)]
    made, said = scripts(runs, launcher, tmp_path, "mine")
    assert submit(runs, launcher, tmp_path, "mine").notes == said
    return said, made[0][1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time_minutes": 3000}, "time_minutes=3000, but main allows 1440 (MaxTime)"),
        ({"mem_gb": 100}, "mem_gb=100, but the largest node of main has 62.5 GB"),
        ({"cpus": 32}, "cpus=32, but the largest node of main has 16 processors"),
        ({"gpus": 8}, "gpus=8, but the largest node of main has 4 GPUs"),
        ({"nodes": 2, "gpus": 4}, "nodes=2, but only 1 of main have 1 processors"),
        ({"partition": "old"}, "partition old is DOWN"),
        ({"partition": "old,main", "gpus": 8}, "partition old is DOWN"),
    ],
)
def test_what_would_pend_forever_is_said_at_launch(tmp_path, slurm, values, message):
    [said], _ = notes(tmp_path, **values)
    assert said.startswith("2 jobs would pend forever: ")
    assert message in said


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"mem_gb": 62, "cpus": 16, "gpus": 4},
        {"nodes": 2, "cpus": 8},
        {"partition": "long", "time_minutes": 9000},
        {"partition": "old,main"},
        {"partition": "not_listed_here"},
    ],
)
def test_what_fits_one_of_the_partitions_is_not_commented(tmp_path, slurm, values):
    assert notes(tmp_path, **values)[0] == []


def test_a_predicted_time_is_cut_to_the_limit_since_jobs_requeue_themselves(tmp_path, slurm):
    [said], script = notes(tmp_path, hours=40)
    assert "cut to the 1440 min that partition main allows" in said
    assert "#SBATCH --time=1440" in script
    assert notes(tmp_path, hours=40, partition="long")[0] == []


ACCOUNTS = """
case "$*" in
*"qos where name=normal "*) echo 'normal|12:00:00|cpu=8,gres/gpu=2,node=1';;
*"qos where name=long "*) echo 'long|10-00:00:00|';;
*assoc*) echo 'lab|normal|06:00:00|cpu=4,mem=16G';;
esac
"""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"time_minutes": 721}, "time_minutes=721, but QOS normal allows 720 (MaxWall)"),
        ({"gpus": 3}, "a job asks for 3 GPUs, but QOS normal allows 2"),
        ({"cpus": 9}, "a job asks for 9 processors, but QOS normal allows 8"),
        ({"nodes": 2}, "a job asks for 2 nodes, but QOS normal allows 1"),
        ({"mem_gb": 20}, "a job asks for 20 GB, but account lab allows 16"),
        ({"account": "lab", "qos": "long", "cpus": 5}, "5 processors, but account lab allows 4"),
    ],
)
def test_what_a_qos_or_an_account_never_allows_is_said(tmp_path, slurm, values, message):
    slurm.put("sacctmgr", ACCOUNTS)
    [said], _ = notes(tmp_path, **values)
    assert said.startswith("2 jobs would pend forever: ")
    assert message in said


def test_what_a_qos_allows_is_not_commented_and_a_predicted_time_is_cut_to_it(tmp_path, slurm):
    """A limit of the QOS counts instead of the account's, also where it is higher."""
    slurm.put("sacctmgr", ACCOUNTS)
    assert notes(tmp_path, time_minutes=720, cpus=8, mem_gb=16)[0] == []
    assert notes(tmp_path, account="other", cpus=16)[0] == []
    [said], script = notes(tmp_path, hours=20)
    assert "cut to the 720 min that QOS normal allows" in said
    assert "#SBATCH --time=720" in script
    assert notes(tmp_path, hours=40, qos="long", partition="long")[0] == []


def test_where_slurm_tells_nothing_nothing_is_compared(tmp_path, slurm):
    slurm.put("scontrol", "echo 'error: Invalid' >&2; exit 1")
    slurm.put("sinfo", "exit 1")
    assert partitions(None) == []
    assert notes(tmp_path, gpus=8, time_minutes=10**6)[0] == []


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30),
        ("30:00", 30),
        ("01:00:00", 60),
        ("1-00:00:00", 1440),
        ("2-12", 3600),
        ("7-01:30", 10170),
        ("UNLIMITED", None),
        ("", None),
    ],
)
def test_slurms_times(text, minutes):
    assert minutes_of(text) == minutes
