"""Submissions to a Slurm that is a folder of shell scripts."""

import shutil
import subprocess
import sys

import pytest

from sweeps.launch.scheduler import Task
from sweeps.slurm.commands import SlurmError
from sweeps.slurm.submissions import submissions
from sweeps.slurm.submit import scripts, submit
from sweeps.spec.launcher import LauncherSpec
from tests.support.fake_slurm import FakeSlurm

ACCEPTS = "echo Submitted batch job $((40 + CALL))"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm whose queue is empty and which accepts everything."""
    fake = FakeSlurm(tmp_path / "fake", monkeypatch)
    fake.put("squeue", "")
    fake.put("sbatch", ACCEPTS)
    return fake


@pytest.fixture
def tasks(tmp_path):
    return [Task(tmp_path / "sweep" / "runs" / f"r{i}", seconds=60.0) for i in range(4)]


def spec(**values):
    return LauncherSpec(**{"kind": "slurm", "cpus": 1, **values})


def test_what_a_dry_run_prints_is_what_sbatch_gets(tmp_path, slurm, tasks):
    root = tmp_path / "sweep"
    launcher = spec(partition="gpu", setup=["module load cuda"], env={"A": "b c"})
    [(_, printed)] = scripts(tasks, launcher, root, "mine")
    [made], _ = submit(tasks, launcher, root, "mine")
    [asked] = slurm.asked("sbatch")
    assert asked == str(made.folder / "script.sh")
    submitted = (made.folder / "script.sh").read_text()
    assert submitted == printed.replace("/SUBMISSION/", f"/{made.folder.name}/")
    assert made.job == "41"
    assert [row["job"] for row in submissions(root)] == ["41"]
    assert len(submissions(root)[0]["jobs"]) == 4


def test_the_script_starts_a_job_on_its_list_of_runs_with_logs_by_job_and_node(tmp_path, tasks):
    folder = tmp_path / "a folder 100%"
    [(_, script)] = scripts(tasks, spec(env={"A": "b c"}), folder, "mine")
    where = tmp_path / "bin"
    where.mkdir()
    (where / "srun").write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; done; echo "A=$A"\n')
    (where / "srun").chmod(0o755)
    bash = shutil.which("bash") or "bash"
    ran = subprocess.run(
        [bash], input=script, env={"PATH": str(where)}, capture_output=True, text=True, check=True
    )
    said = ran.stdout.splitlines()
    here = f"{folder}/slurm/SUBMISSION".replace("%", "%%")
    assert f"--output={here}/%A_%a_%t_log.out" in said
    assert f"#SBATCH --output='{here}/%A_%a_0_log.out'" in script.splitlines()
    python = said.index(sys.executable)
    tasks_file = f"{folder}/slurm/SUBMISSION/tasks.json"
    assert said[python + 1 :] == ["-u", "-m", "sweeps.slurm.job_main", tasks_file, "A=b c"]


def test_a_refusal_is_one_line_and_leaves_nothing_behind(tmp_path, slurm, tasks):
    slurm.put("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    with pytest.raises(SlurmError, match="sbatch refused: sbatch: error: invalid partition"):
        submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert list((tmp_path / "sweep" / "slurm").glob("*/*")) == []


def test_no_module_of_slurm_needs_submitit():
    code = "import sys; sys.modules['submitit'] = None; import sweeps.slurm.submit as s; "
    code += "from sweeps.spec.launcher import LauncherSpec as L; from pathlib import Path; "
    code += "from sweeps.launch.scheduler import Task; "
    code += "print(len(s.scripts([Task(Path('/r'))], L(kind='slurm'), Path('/x'), 'n')))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "1\n", answer.stderr
