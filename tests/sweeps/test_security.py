"""Result directories are data: nothing in them is executed, and no secret is written into them."""

import ast
from pathlib import Path

import pytest

from sweeps.launch.scheduler import QueuedRun
from sweeps.slurm.submit import scripts
from sweeps.spec.launcher import LauncherSpec
from train.config.spec import SpecError

ROOT = Path(__file__).parents[2]
PACKAGES = ("isoflop", "train", "sweeps", "eval", "analysis")
SOURCES = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_or_evaluates(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {name.split(".")[0] for name in names} & FORBIDDEN_MODULES, path
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "yaml.load", "os.system"), path
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called == "torch.load":
                assert keywords.get("weights_only") == "True", path
            if called.endswith("np.load"):
                assert keywords.get("allow_pickle", "False") == "False", path
            assert keywords.get("shell", "False") == "False", path
            if called.endswith((".from_pretrained", "load_dataset")):
                # eval asks for it by name: trust_remote_code=true of the one checkpoint named.
                allowed = ("False", "trust_remote_code") if path.name == "load.py" else ("False",)
                assert keywords.get("trust_remote_code") in allowed, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_prints_data_as_markup_or_to_the_terminal_as_it_is(path):
    """Error texts go through `say`, tables through DataConsole, as `say` and that class do."""
    if path.name in ("terminal.py", "console.py", "log_file.py"):
        return  # the last one's error is the operating system's, about a path of this user
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            console = called in ("Console", "console.Console") and "markup" not in ast.unparse(node)
            assert not console and called != "rich.print", path
            raw = any(ast.unparse(word.value) == "sys.stderr" for word in node.keywords)
            assert not (called == "print" and raw), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "name", ["WANDB_API_KEY", "HF_TOKEN", "my_secret", "DB_PASSWORD", "HF_PAT"]
)
def test_secrets_are_refused_where_they_would_be_written(name):
    with pytest.raises(SpecError, match="looks like a secret"):
        LauncherSpec(kind="slurm", env={name: "x"})


@pytest.mark.parametrize(
    "values",
    [
        {"setup": ["export WANDB_API_KEY=abc"]},
        {"setup": ["module load x; HF_TOKEN=abc python -V"]},
        {"setup": ["login hf_abcdefghijklmnopqrstuvwxyz"]},
        {"env": {"HARMLESS": "0123456789abcdef0123456789abcdef01234567"}},
        {"extra": {"comment": "ghp_abcdefghijklmnopqrstuvwxyz0123"}},
        {"extra": {"api-key": "abc"}},
        {"extra": {"export": "ALL,WANDB_API_KEY=abc"}},
        {"env": {"OPTIONS": "--api-key=abc"}},
        {"on_end": "env SLACK_TOKEN=abc notify"},
        {"python": "env HF_TOKEN=abc python"},
    ],
)
def test_secrets_are_refused_by_name_and_by_shape_and_not_repeated(values):
    with pytest.raises(SpecError, match="looks like a secret") as caught:
        LauncherSpec(kind="slurm", **values)
    assert not any(part in str(caught.value) for part in ("abc", "01234567"))


def test_settings_that_are_no_secrets_though_their_names_resemble_some_are_taken():
    env = {"TOKENIZERS_PARALLELISM": "false"}
    setup = ["export TOKENIZERS_PARALLELISM=false"]
    assert LauncherSpec(kind="slurm", env=env, setup=setup).env == env


@pytest.mark.parametrize(
    "values",
    [
        {"partition": "gpu\necho pwned"},
        {"account": "lab\r\necho pwned"},
        {"qos": "a\nb"},
        {"constraint": "a\nb"},
        {"extra": {"exclude": "n1\necho pwned"}},
        {"extra": {"exclude\necho pwned #": "n1"}},
        {"env": {"A=1\necho pwned #": "x"}},
        {"env": {"A;echo": "x"}},
    ],
)
def test_no_setting_puts_lines_of_its_own_into_the_job_script(values):
    with pytest.raises(SpecError, match=r"control character|has the name"):
        LauncherSpec(kind="slurm", **values)


def test_a_sweep_name_or_folder_of_two_lines_is_not_submitted(tmp_path):
    task = QueuedRun(tmp_path / "run", seconds=60.0)
    with pytest.raises(SpecError, match="control character"):
        scripts([task], LauncherSpec(kind="slurm"), tmp_path, "name\necho pwned")
    with pytest.raises(SpecError, match="control character"):
        scripts([task], LauncherSpec(kind="slurm"), tmp_path / "out\n#SBATCH --wrap=id", "name")
