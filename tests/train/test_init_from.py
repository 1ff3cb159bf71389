"""Runs that begin with the weights of another run, or of any checkpoint."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from sweeps.plan.expand import expand
from sweeps.spec.grids import GridSpec, SweepSpec
from train.config.resolve import resolve
from train.config.run_config import RunConfig
from train.config.spec import SpecError, TokenizerSpec
from train.data.dataset import describe
from train.model.initial import initial_model
from train.run import train_run
from train.rundir.record import RunPaths, read_record, write_job
from train.rundir.starting_point import StartError, starting_point, starting_points


def tuned_job(job: RunConfig, place: str) -> RunConfig:
    asked = replace(job.spec, seed=1, n_steps=None)
    begun = starting_point(place).applied(asked)
    return replace(job, spec=resolve(begun, describe(begun.data, begun.model.seq_len)))


def test_a_run_begins_where_another_ended_and_says_so(finished: Path, tmp_path, tiny_job):
    job = tuned_job(tiny_job, str(finished))
    weights = load_file(RunPaths(finished).checkpoint / "model.safetensors")
    model = initial_model(job.spec, None)
    assert all((p == weights[n]).all() for n, p in model.named_parameters())
    write_job(tmp_path / "run", job)
    assert train_run(tmp_path / "run") == "finished"
    record, before = read_record(tmp_path / "run"), read_record(finished)
    assert record.loss < before.loss
    assert (record.init_n_params, record.init_n_tokens) == (before.n_params, before.n_tokens)
    assert record.init_sha256 == job.spec.init.sha256
    assert record.n_tokens == 40 * 128


def test_identity_is_of_the_weights_and_not_of_their_place(finished: Path, tmp_path, tiny_job):
    shutil.copytree(finished, tmp_path / "moved")
    here, moved = tuned_job(tiny_job, str(finished)), tuned_job(tiny_job, str(tmp_path / "moved"))
    assert here.run_id == moved.run_id != replace(here, spec=replace(here.spec, init=None)).run_id


def test_weights_that_were_replaced_are_refused(finished: Path, tmp_path, tiny_job):
    shutil.copytree(finished, tmp_path / "other")
    job = tuned_job(tiny_job, str(tmp_path / "other"))
    place = RunPaths(tmp_path / "other").checkpoint
    (place / "SHA256SUMS").unlink()
    with (place / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    write_job(tmp_path / "run", job)
    assert train_run(tmp_path / "run") == "failed"
    assert "they were replaced" in RunPaths(tmp_path / "run").error.read_text()


@pytest.mark.parametrize("lacks", ["model.norm.weight", "lm_head.weight"])
def test_a_checkpoint_without_some_of_the_weights_is_refused(
    finished: Path, tmp_path, tiny_job, lacks
):
    """Else what it lacks is drawn at random, and the run begins with that."""
    place = tmp_path / "part"
    shutil.copytree(RunPaths(finished).checkpoint, place)
    weights = load_file(place / "model.safetensors")
    del weights[lacks]
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    (place / "SHA256SUMS").unlink()
    with pytest.raises(SpecError, match=f"has no weights for {lacks}"):
        initial_model(tuned_job(tiny_job, str(place)).spec, None)


def test_a_checkpoint_of_others_is_a_family_hf(finished: Path, tmp_path, tiny_job):
    """Without its run beside it, a checkpoint is what its config.json says."""
    place = tmp_path / "llama"
    shutil.copytree(RunPaths(finished).checkpoint, place)
    job = tuned_job(tiny_job, str(place))
    assert (job.spec.model.family, job.spec.model.hf_class) == ("hf", "LlamaForCausalLM")
    assert starting_point(str(place)).init.n_params == read_record(finished).n_params
    weights = load_file(place / "model.safetensors")
    model = initial_model(job.spec, None)
    assert all((p == weights[n]).all() for n, p in model.named_parameters())


def test_what_can_not_be_begun_with_says_why(finished: Path, tmp_path, tiny_job, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StartError, match="matches no directory"):
        starting_points(str(tmp_path / "runs" / "*"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartError, match="holds no checkpoint"):
        starting_point(str(tmp_path / "empty"))
    with pytest.raises(StartError, match="is no directory here and can't be downloaded"):
        starting_point("nobody/nothing")
    data = replace(tiny_job.spec.data, tokenizer=TokenizerSpec("characters", alphabet="ab"))
    with pytest.raises(StartError, match=r"set the same one under data\.tokenizer"):
        starting_point(str(finished)).applied(replace(tiny_job.spec, data=data))


def test_a_grid_runs_over_checkpoints(finished: Path, tiny_job):
    grid = GridSpec(kind="ladder", init_from=[f"{finished.parent}/*"], n_tokens=[40 * 128.0])
    made = expand(
        SweepSpec(grids={"tune": grid}), tiny_job.spec, describe, checkpoints=starting_points
    )
    (run,) = made.runs
    assert f"-d16-from{run.job.spec.init.sha256[:6]}-s0" in run.job.name
