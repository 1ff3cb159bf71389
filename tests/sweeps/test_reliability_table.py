"""docs/reliability.md promises something for every fault; each promise names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
SECTIONS = ("Faults", "Clusters")


def proofs() -> list[tuple[str, str]]:
    """(fault, what proves it) of every row of the tables of faults."""
    text, found = PAGE.read_text(), []
    for heading in SECTIONS:
        section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        found += [tuple(line.strip("| ").split(" | ")) for line in lines[1:]]
    return [(row[0], row[2]) for row in found]


def functions(module: str) -> list[str]:
    """Names of the test functions of a module, found in any folder of tests."""
    found = sorted((ROOT / "tests").rglob(f"{module}.py"))
    assert found, f"{PAGE.name} names {module}.py, which is in no folder of tests/"
    trees = [ast.parse(path.read_text()) for path in found]
    return [
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@pytest.mark.parametrize(("fault", "proof"), proofs(), ids=lambda text: text[:40])
def test_every_fault_names_tests_that_exist(fault, proof):
    named = re.findall(r"(test_\w+)(?:: `(\w+)`)?", proof)
    assert named, f"{fault!r} names no test"
    for module, part in named:
        names = functions(module)
        assert names
        assert any(part in name for name in names), f"no test of {module} has {part!r} in its name"


def test_the_table_was_read():
    assert len(proofs()) >= 20
