import doctest
import importlib
import subprocess
import sys

import pytest

import isoflop

DOCUMENTED = [name for name in isoflop.__all__ if not name.startswith("_")]


@pytest.mark.parametrize("name", isoflop.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(isoflop, name).__doc__ or name == "__version__"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_example_of_every_public_name_runs(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    public = getattr(isoflop, name)
    module = importlib.import_module(public.__module__)
    tests = doctest.DocTestFinder().find(public, name, module=module, globs={})
    assert sum(len(test.examples) for test in tests) >= 2, f"{name} has no example"
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def test_importing_the_package_or_a_fit_takes_no_torch():
    code = "import isoflop; isoflop.fit_parametric; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import isoflop; import sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_lists_those_that_are_there():
    with pytest.raises(AttributeError, match="fit_parametric"):
        _ = isoflop.fit_everything
