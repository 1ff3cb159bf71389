"""Result directories are data: nothing in them is executed, and no secret is written into them."""

import ast
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "HF_TOKEN", "my_secret", "DB_PASSWORD"])
def test_secrets_are_refused_where_they_would_be_written(name):
    with pytest.raises(SpecError, match="looks like a secret"):
        LauncherSpec(kind="slurm", env={name: "x"})
