"""Submissions to a Slurm that is a folder of shell scripts."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm import cluster
from sweeps.slurm.commands import SlurmError
from sweeps.slurm.report import submission_lines
from sweeps.slurm.submissions import jobs_of, submissions
from sweeps.slurm.submit import cancel, scripts, submit
from sweeps.spec.launcher import LauncherSpec
from tests.support.fake_slurm import CONFIG, FakeSlurm
from train.config.spec import SpecError
from train.rundir.lock import user_name


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return FakeSlurm(tmp_path / "fake", monkeypatch)


@pytest.fixture
def tasks(tmp_path):
    return [QueuedRun(tmp_path / "sweep" / "runs" / f"r{i}", seconds=60.0) for i in range(4)]


def spec(**values):
    return LauncherSpec(**{"kind": "slurm", "cpus": 1, **values})


def test_what_a_dry_run_prints_is_what_sbatch_gets(tmp_path, slurm, tasks):
    root = tmp_path / "sweep"
    launcher = spec(partition="gpu", setup=["module load cuda"], env={"A": "b c"})
    [(_, printed)], _ = scripts(tasks, launcher, root, "mine")
    [made] = submit(tasks, launcher, root, "mine").arrays
    [asked] = slurm.asked("sbatch")
    assert asked == f"--parsable {made.folder / 'script.sh'}"
    submitted = (made.folder / "script.sh").read_text()
    ticket = made.folder.name
    printed = printed.replace("/SUBMISSION/", f"/{ticket}/")
    assert submitted == printed.replace("mine.SUBMISSION", f"mine.{ticket.split('-')[-1]}")
    assert made.job == "41"
    assert [row["job"] for row in submissions(root)] == ["41"]
    assert len(submissions(root)[0]["jobs"]) == 4


def test_the_script_starts_a_job_on_its_list_of_runs_with_logs_by_job_and_node(tmp_path, tasks):
    folder = tmp_path / "a folder 100%"
    [(_, script)], _ = scripts(tasks, spec(env={"A": "b c"}), folder, "mine")
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
    assert said[python + 1 :] == ["-P", "-u", "-m", "sweeps.slurm.job_main", tasks_file, "A=b c"]


def test_a_refusal_is_one_line_and_leaves_nothing_behind(tmp_path, slurm, tasks):
    slurm.put("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1")
    with pytest.raises(SlurmError, match="sbatch refused: sbatch: error: invalid partition"):
        submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert list((tmp_path / "sweep" / "slurm").glob("*/*")) == []


def test_no_module_of_slurm_needs_submitit():
    code = "import sys; sys.modules['submitit'] = None; import sweeps.slurm.submit as s; "
    code += "from sweeps.spec.launcher import LauncherSpec as L; from pathlib import Path; "
    code += "from sweeps.launch.scheduler import QueuedRun; "
    code += "print(len(s.scripts([QueuedRun(Path('/r'))], L(kind='slurm'), Path('/x'), 'n')[0]))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "1\n", answer.stderr


def test_an_array_is_no_longer_than_the_cluster_takes(tmp_path, slurm, tasks):
    slurm.put("scontrol", f"{CONFIG} 3")
    made = submit(tasks, spec(), tmp_path / "sweep", "mine").arrays
    assert [len(array.batch.jobs) for array in made] == [3, 1]
    assert "--array=0-2%3" in (made[0].folder / "script.sh").read_text()


def test_a_cluster_without_arrays_is_said_before_anything_is_submitted(tmp_path, slurm, tasks):
    slurm.put("scontrol", f"{CONFIG} 0")
    with pytest.raises(SlurmError, match="no job arrays"):
        submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert slurm.asked("sbatch") == []


LIMIT = "sbatch: error: QOSMaxSubmitJobPerUserLimit"


def test_a_part_submission_keeps_what_was_accepted_and_says_what_was_not(tmp_path, slurm, tasks):
    slurm.put("scontrol", f"{CONFIG} 3")
    slurm.put("sbatch", f"[ $CALL = 1 ] && echo 41 && exit; echo '{LIMIT}' >&2; exit 1")
    made = submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert [array.job for array in made.arrays] == ["41"]
    assert made.n_left == 1
    said, [problem] = submission_lines(made, 4)
    assert said[0].startswith("submitted array 41: 3 jobs, each 10 min, 2 GB")
    assert problem.startswith("not submitted: 1 of 4 runs, since sbatch refused: ")
    assert "QOSMaxSubmitJobPerUserLimit" in made.problem
    slurm.put("squeue", "for i in 0 1 2; do echo 4$i'|'41_$i'|RUNNING|None'; done")
    slurm.put("sbatch", "echo 50")
    again = submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert (again.n_queued, [len(array.batch.jobs) for array in again.arrays]) == (3, [1])


TIMED_OUT = (
    "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2; exit 1"
)


def named_job(root) -> str:
    """A squeue that lists array 77 under the name that a submission was given."""
    return (
        f'NAME=$(grep -h -o \'"name": "[^"]*"\' {root}/slurm/*/asked.json | cut -d\\" -f4); '
        'case "$*" in *--name=*) echo "77|$NAME";; *) echo "77|77_0|RUNNING|None";; esac'
    )


def test_an_array_that_was_accepted_without_a_word_is_found_by_its_name(tmp_path, slurm, tasks):
    root = tmp_path / "sweep"
    slurm.put("sbatch", TIMED_OUT)
    slurm.put("squeue", named_job(root))
    [made] = submit(tasks[:1], spec(), root, "a,b").arrays
    assert made.job == "77"
    assert len(slurm.asked("sbatch")) == 1
    assert submit(tasks[:1], spec(), root, "a,b").n_queued == 1


def test_an_array_that_turns_up_later_is_known_to_status_launch_and_cancel(tmp_path, slurm, tasks):
    root = tmp_path / "sweep"
    slurm.put("sbatch", TIMED_OUT)
    with pytest.raises(SlurmError, match=r"did not say whether .* no job is named mine\."):
        submit(tasks[:1], spec(), root, "mine")
    assert list(root.glob("slurm/*/tasks.json")) != []
    slurm.put("squeue", named_job(root))
    slurm.put("scancel", "")
    slurm.put("sbatch", "echo 99")
    jobs = jobs_of(root)
    assert jobs is not None and jobs.alive("77_0")
    assert submit(tasks[:1], spec(), root, "mine").n_queued == 1
    assert cancel(root) == ["77"]
    assert slurm.asked("scancel") == ["77"]


def test_commands_that_fail_for_a_moment_are_tried_again(tmp_path, slurm, tasks):
    down = "echo 'error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    slurm.put("squeue", f"[ $CALL -gt 2 ] || {{ {down}; }}")
    slurm.put("sbatch", f"[ $CALL -gt 2 ] && echo 41 && exit; {down}")
    made = submit(tasks, spec(), tmp_path / "sweep", "mine")
    assert [array.job for array in made.arrays] == ["41"]
    slurm.put("sbatch", down)
    with pytest.raises(SlurmError, match=r"sbatch refused: .*connect failure"):
        submit(tasks, spec(), tmp_path / "other", "mine")
    assert len(slurm.asked("sbatch")) == 3 + 4


def test_jobs_that_squeue_has_forgotten_are_asked_about_in_one_question(tmp_path, slurm, tasks):
    root = tmp_path / "sweep"
    for _ in range(3):
        submit(tasks, spec(), root, "mine")
    before = len(slurm.asked("squeue"))
    submit(tasks, spec(), root, "mine")
    by_id = [line for line in slurm.asked("squeue")[before:] if "--jobs=" in line]
    assert len(by_id) == 1
    assert "--jobs=41,42,43 " in by_id[0]


def test_jobs_of_another_cluster_are_not_submitted_twice_unless_forced(tmp_path, slurm, tasks):
    """A sweep on a disk that two clusters share, or copied from one to the other."""
    root = tmp_path / "sweep"
    submit(tasks, spec(), root, "mine")
    slurm.put("scontrol", f"{CONFIG} 1001 | sed s/here/there/")
    cluster.settings.cache_clear()
    made = submit(tasks, spec(), root, "mine")
    assert made.arrays == []
    assert len(made.elsewhere) == 4
    assert set(made.elsewhere.values()) == {
        f"Slurm job 41 of {user_name()} on cluster here can't be asked about from here"
    }
    assert len(submit(tasks, spec(), root, "mine", force=True).arrays) == 1


def test_a_file_system_without_flock_takes_submissions(tmp_path, slurm, tasks, monkeypatch):
    def absent(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", absent)
    assert len(submit(tasks, spec(), tmp_path / "sweep", "mine").arrays) == 1
    assert not list((tmp_path / "sweep" / "slurm").glob(".submitting.held"))


def test_the_jobs_python_may_be_a_container(tmp_path, tasks, monkeypatch):
    """A wrapper stands for `apptainer exec IMAGE python`: it notes what it starts."""
    (tmp_path / "a b").mkdir()
    wrapper = tmp_path / "a b" / "apptainer"
    wrapper.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/noted\nshift 2; exec "$@"\n')
    wrapper.chmod(0o755)
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done; exec "$@"\n')
    srun.chmod(0o755)
    launcher = spec(python=f"'{wrapper}' exec image.sif {sys.executable}")
    [(_, script)], _ = scripts(tasks, launcher, tmp_path / "sweep", "mine")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ran = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    noted = (tmp_path / "noted").read_text()
    assert noted.startswith(f"exec image.sif {sys.executable} -P -u -m sweeps.slurm.job_main ")
    assert ran.returncode == 2
    assert "tasks.json is missing" in ran.stderr


@pytest.mark.parametrize("python", ["", "python 'open", "python\necho pwned"])
def test_a_python_that_is_no_command_is_refused(python):
    with pytest.raises(SpecError, match=r"launcher\.python"):
        spec(python=python)
