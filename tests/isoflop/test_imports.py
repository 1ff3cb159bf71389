"""Commands are imported without looks at what stays, and run with Python's collector as usual."""

import gc
import sys

import pytest

import isoflop.__main__ as front


@pytest.fixture
def thawed():
    yield
    gc.unfreeze()


def test_what_is_imported_is_frozen_and_the_collector_is_back(
    tmp_path, monkeypatch, thawed
) -> None:
    (tmp_path / "fresh_command.py").write_text("import gc\nwas = gc.isenabled()\nkept = [[]]\n")
    (tmp_path / "broken_command.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = front._imported("fresh_command")
    assert not module.was and gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert not any(one is module.kept for one in gc.get_objects())
    with pytest.raises(ImportError, match="no such library"):
        front._imported("broken_command")
    assert gc.isenabled()
    del sys.modules["fresh_command"]
