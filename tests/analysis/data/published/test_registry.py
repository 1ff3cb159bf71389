import re
from pathlib import Path

import pytest

from analysis.__main__ import COMMAND, fitted
from analysis.config import AnalysisConfig
from analysis.data.published.registry import TABLES, find_table
from analysis.data.table_error import TableError
from tests.support.published import published_table
from train.commands.command_line import translate
from train.config.cli import load_config

ROOT = Path(__file__).parents[4]
FITTED = [name for name, table in TABLES.items() if table.expected]


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_entry_names_its_source_at_a_commit_and_its_digests(table):
    for file in table.files:
        assert re.fullmatch(
            r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{7,40}/\S+", file.url
        )
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert re.fullmatch("[0-9a-f]{64}", table.digest)
    assert table.paper and table.licence and table.columns
    assert set(table.expected) <= {f"{a}.{q}" for a in ("parametric", "isoflop", "envelope")
                                   for q in ("A", "B", "E", "alpha", "beta", "a", "b")}  # fmt: skip


def test_entries_are_found_with_or_without_the_prefix():
    assert find_table("published:cs336") is find_table("cs336") is TABLES["cs336"]


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(TableError, match=r"published:llama is unknown.*hoffmann2022, gemstones"):
        find_table("published:llama")


def test_no_table_of_others_is_part_of_the_repository():
    assert not list((ROOT / "analysis").rglob("*.csv"))


def test_the_docs_list_every_table():
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    assert [name for name in TABLES if f"`published:{name}`" not in page] == []


@pytest.mark.parametrize("name", FITTED)
def test_a_fit_gives_what_the_registry_expects(name):
    published_table(name)
    table = TABLES[name]
    overrides = [f"published:{name}", *table.settings, "fit.n_resamples=0"]
    _, study, _ = fitted(
        load_config("analysis", translate(COMMAND, overrides).overrides, AnalysisConfig)
    )
    for key, value in table.expected.items():
        approach, quantity = key.split(".")
        fit = study.fits[approach]
        found = getattr(fit, quantity) if quantity in ("a", "b") else fit.parameters[quantity]
        assert found == pytest.approx(value, rel=1e-3), key
