"""Mutated configurations and records: a valid result or an error of our own, never a traceback."""

import json
import math
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeps.directory.run_state import read_state
from sweeps.manage.collect import collect
from sweeps.manage.status import read_sweep, status_json
from sweeps.plan.expand import expand
from sweeps.plan.write_sweep import create_run, placed
from sweeps.slurm.squeue import parse_queue
from sweeps.slurm.submissions import SlurmJobs, submissions
from sweeps.spec.config import SweepConfig
from sweeps.spec.grids import Bounds, GridSpec, SweepSpec
from sweeps.spec.launcher import LauncherSpec
from tests.support.sweep_fixtures import base, expansion, facts, finish, grid, make_sweep
from train.config.cli import load_config
from train.config.decode import merge
from train.config.run_config import job_from_json, job_to_json
from train.config.spec import IsoflopError, SpecError
from train.rundir.record import read_job

N_EXAMPLES = int(os.environ.get("ISOFLOP_FUZZ", "150"))

FAST = settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**6),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", "isoflop", "stdlib", "bytes", "🙂", "../x", "1e6", "\x00"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
NUMBERS = st.one_of(
    st.integers(-3, 200), st.floats(allow_nan=True, allow_infinity=True), st.floats(1e8, 1e12)
)
SHAPES = st.dictionaries(st.sampled_from(["d_model", "n_heads", "x"]), SCALARS)


def paths_in(content, path=()):
    """Every key path of nested dictionaries."""
    yield path
    if isinstance(content, dict):
        for key, value in content.items():
            yield from paths_in(value, (*path, key))


@st.composite
def mutated(draw, content):
    """The content with one place replaced, removed or added to."""
    content = json.loads(json.dumps(content))
    path = draw(st.sampled_from(list(paths_in(content))))
    if not path:
        return draw(JSON)
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    how = draw(st.sampled_from(["replace", "remove", "add"]))
    if how == "replace":
        inside[path[-1]] = draw(JSON)
    elif how == "remove":
        del inside[path[-1]]
    else:
        inside[draw(st.text(max_size=5))] = draw(JSON)
    return content


RUN = expansion(iso=grid()).runs[0]


@FAST
@given(mutated(job_to_json(RUN.job)))
def test_a_mutated_spec_is_the_same_run_or_refused(content):
    try:
        job = job_from_json(content)
    except IsoflopError:
        return
    assert job.run_id == RUN.run_id
    assert job.spec == RUN.job.spec


@FAST
@given(st.dictionaries(st.sampled_from(["model", "data", "optim", "schedule", "precision"]), JSON))
def test_a_mutated_base_gives_a_run_or_is_refused(changes):
    try:
        merge(base(), changes)
    except IsoflopError:
        return


@FAST
@given(
    kind=st.sampled_from(["isoflop", "grid", "ladder", "cube"]),
    d_models=st.lists(st.integers(-2, 300), max_size=3),
    n_params=st.lists(NUMBERS, max_size=2),
    shapes=st.lists(SHAPES, max_size=2),
    budgets=st.lists(NUMBERS, max_size=3),
    n_tokens=st.lists(NUMBERS, max_size=3),
    tokens_per_param=st.lists(NUMBERS, max_size=2),
    seeds=st.none() | st.lists(st.integers(-1, 5), max_size=3),
    low=st.none() | NUMBERS,
    high=st.none() | NUMBERS,
)
def test_any_grid_expands_completely_or_is_refused(low, high, seeds, **values):
    try:
        bounds = Bounds(min_tokens_per_param=low, max_tokens_per_param=high)
        chosen = GridSpec(seeds=seeds, bounds=bounds, **values)
        made = expand(SweepSpec(grids={"g": chosen}), base(), facts)
    except IsoflopError as error:
        assert str(error)
        return
    n_seeds = len(seeds) if seeds else 1
    shapes = chosen.d_models or chosen.n_params or chosen.shapes
    n_cells = len(shapes) * len(chosen.horizons) * n_seeds
    assert len(made.runs) + sum(len(cell.seeds) for cell in made.left_out) == n_cells
    assert all(cell.reason for cell in made.left_out)
    assert all(math.isfinite(run.flops) and run.flops > 0 for run in made.runs)
    assert len({run.run_id for run in made.runs}) == len(made.runs)


@FAST
@given(
    st.dictionaries(
        st.sampled_from([name for name in LauncherSpec.__dataclass_fields__ if name != "kind"]),
        st.integers(-2, 5),
        max_size=3,
    )
)
def test_any_numbers_in_the_launcher_are_settings_or_refused(values):
    numbers = {k: v for k, v in values.items() if k not in ("devices", "extra", "setup", "env")}
    try:
        LauncherSpec(**numbers)
    except SpecError as error:
        assert "launcher." in str(error)


CONTENT = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())
FILES = ["spec.json", "record.json", "status.jsonl", "metrics.jsonl", "lock"]


@FAST
@given(name=st.sampled_from(FILES), content=CONTENT)
def test_any_bytes_in_a_run_directory_are_a_state_and_a_row_or_a_counted_problem(
    tmp_path_factory, name, content
):
    root = tmp_path_factory.mktemp("fuzz")
    run_dir = make_sweep(root, n_done=1, iso=grid(d_models=[16], budgets=[1e10]))[0]
    (run_dir / name).write_bytes(content)
    check_everything(root, run_dir)


@FAST
@given(data=st.data(), name=st.sampled_from(["spec.json", "record.json"]))
def test_mutated_records_and_specs_are_a_state_and_a_row_or_a_counted_problem(
    tmp_path_factory, data, name
):
    root = tmp_path_factory.mktemp("fuzz")
    run_dir = make_sweep(root, n_done=1, iso=grid(d_models=[16], budgets=[1e10]))[0]
    content = json.loads((run_dir / name).read_text())
    (run_dir / name).write_text(json.dumps(data.draw(mutated(content))))
    check_everything(root, run_dir)


def test_true_for_one_is_an_edit_and_is_repaired(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    run_dir = make_sweep(root, n_done=1, iso=grid(d_models=[16], budgets=[1e10]))[0]
    content = json.loads((run_dir / "spec.json").read_text())
    for part in content["spec"]["data"]["parts"].values():
        part["weight"] = True
    (run_dir / "spec.json").write_text(json.dumps(content))
    check_everything(root, run_dir)


@FAST
@given(
    CONTENT | st.lists(JSON, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
)
def test_any_bytes_as_the_plan_leave_status_and_tables(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("fuzz")
    make_sweep(root, n_done=1, iso=grid(d_models=[16], budgets=[1e10]))
    (root / "plan.jsonl").write_bytes(content)
    json.dumps(status_json(read_sweep(root)))
    collect(root)


def check_everything(root: Path, run_dir: Path) -> None:
    """Status, JSON, tables and a new launch's repair all come through."""
    assert read_state(run_dir).status
    json.dumps(status_json(read_sweep(root)))
    collected = collect(root)
    assert sum(collected.by_status.values()) + len(collected.problems) >= 1
    run = expansion(iso=grid(d_models=[16], budgets=[1e10])).runs[0]
    place = placed(root, [run])[run.run_id]
    create_run(place, run, [])
    assert read_job(place) == run.job


@FAST
@given(CONTENT)
def test_any_bytes_among_the_slurm_submissions_are_passed_over(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("fuzz")
    run_dir = make_sweep(root, iso=grid(d_models=[16], budgets=[1e10]))[0]
    (root / "slurm" / "x").mkdir(parents=True)
    (root / "slurm" / "x" / "submitted.json").write_bytes(content)
    assert isinstance(submissions(root), list)
    assert read_state(run_dir, SlurmJobs(parse_queue(""), {})).status == "planned"


OVERRIDES = st.builds(
    "{}={}".format,
    st.sampled_from(
        [
            "sweep.name",
            "sweep.seeds",
            "sweep.grids.isoflop.d_models",
            "sweep.grids.isoflop.budgets",
            "sweep.grids.isoflop.base.model.d_model",
            "launcher.workers",
            "launcher.kind",
            "launcher.env.A",
            "model.d_model",
            "optim.lr_peak",
            "data.max_epochs",
            "precision",
            "action",
            "watch",
            "status",
            "fit",
            "watch",
            "nonsense",
            "sweep.bounds.min_steps",
        ]
    ),
    st.sampled_from(
        ["", "null", "1", "-1", "1e6", "0.5", "[]", "[1,2]", "[a]", "{a: 1}", "abc", "true", "["]
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(OVERRIDES, min_size=1, max_size=2))
def test_any_override_composes_or_is_refused(overrides):
    try:
        assert load_config("sweep", overrides, SweepConfig).base.model.d_model >= 1
    except IsoflopError as error:
        assert "\n" not in str(error).strip()


def test_finishing_twice_changes_nothing(tmp_path):
    run_dir = make_sweep(tmp_path)[0]
    finish(run_dir, read_job(run_dir))
    first = read_state(run_dir)
    finish(run_dir, read_job(run_dir))
    assert read_state(run_dir) == first
