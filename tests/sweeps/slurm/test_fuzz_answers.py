"""Slurm's and the file system's answers, mutated: a value or nothing known, never an exception."""

import contextlib
import json
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.directory import disk
from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm import cluster, limits, restarts
from sweeps.slurm.commands import SlurmError
from sweeps.slurm.resources import batches
from sweeps.slurm.sbatch import find
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submissions import submissions
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import IsoflopError

LINES = (
    "PartitionName=main Default=YES MaxTime=1-00:00:00 State=UP",
    "16|64000|gpu:a100:4(S:0-1),nvme:1",
    "MaxArraySize            = 1001",
    "JobId=7 JobState=RUNNING PreemptTime=None",
    "77|mine.abc",
    "  /dev/sda1  1000*  2000  3000  0",
)


@st.composite
def answers(draw) -> str:
    """Lines of real answers, with characters replaced, removed and inserted."""
    text = "\n".join(draw(st.lists(st.sampled_from(LINES), max_size=6)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 3))
        text = text[:place] + draw(st.text(max_size=3)) + text[place + cut :]
    return text


@settings(max_examples=300, deadline=None)
@given(answers(), answers())
def test_no_answer_of_scontrol_or_sinfo_raises(text, nodes):
    def output(command):
        return nodes if command[0] == "sinfo" else text

    launcher = LauncherSpec(kind="slurm", gpus=2)
    [batch] = batches([QueuedRun(Path("/r"), seconds=1e6)], launcher)
    cluster.settings.cache_clear()
    with (
        mock.patch.object(limits, "output", output),
        mock.patch.object(cluster, "output", output),
        mock.patch.object(restarts, "output", output),
    ):
        fitted, note = limits.fitted(batch, launcher, limits.partitions("main"))
        assert fitted.minutes > 0
        assert isinstance(note, str)
        restarts.was_preempted()
        try:
            assert cluster.array_limit() > 0
        except SlurmError as error:
            assert "MaxArraySize=0" in str(error)
    cluster.settings.cache_clear()


@settings(max_examples=200, deadline=None)
@given(answers())
def test_no_answer_of_quota_or_squeue_raises(text):
    with (
        mock.patch("sweeps.slurm.sbatch.output", lambda _: text),
        mock.patch.object(disk, "_output", lambda _: text),
    ):
        assert set(find(["mine.abc"])) <= {"mine.abc"}
        found = disk.room(Path("/"))
        assert found is None or found.n_bytes >= 0


KEYS = ("job", "jobs", "user", "cluster")
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(
    row=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("job", "jobs", "user", "cluster"), VALUES)
    )
)
def test_no_submission_raises(tmp_path_factory, row):
    root = tmp_path_factory.mktemp("sweep")
    (root / "slurm" / "x").mkdir(parents=True)
    (root / "slurm" / "x" / "submitted.json").write_text(json.dumps(row))
    for found in submissions(root):
        assert isinstance(found["owner"].user, str)


SETTINGS = st.text(max_size=200) | st.builds(
    "{}={}".format,
    st.sampled_from(["PartitionName", "MaxTime", "State", "MaxArraySize   ", "ClusterName"]),
    st.text(max_size=20) | st.sampled_from(["UNLIMITED", "1-00:00:00", "0", "-1", "9" * 30]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SETTINGS, max_size=6).map("\n".join))
def test_any_text_from_scontrol_is_limits_or_none(text):
    """What the cluster says of itself is read by the same parsers whoever administers it."""
    cluster.settings.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for module in (cluster, limits):
            patch.setattr(module, "output", lambda command: text)
        with contextlib.suppress(IsoflopError):
            assert cluster.array_limit() > 0
        assert isinstance(limits.partitions("gpu"), list)
        assert isinstance(cluster.cluster_name(), str)
    cluster.settings.cache_clear()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_from_squeue_is_a_queue(text):
    queue = parse_queue(text)
    assert not queue.has("no such job")
