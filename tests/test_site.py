"""The site's pages: every one in the navigation, every link alive, every public name described."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import isoflop
from tests.support.pages import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site both make them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M
    )
    words = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"\s", "-", word) for word in words}


def dead_links(page: Path) -> list[str]:
    """Links of a page to files or headings that are not there; links to the web are not asked."""
    dead = []
    for link in LINK.findall(without_code(page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        # The site has docs/ alone: a link that leaves it would be dead there.
        inside = page.parent == ROOT or target.is_relative_to(DOCS)
        if not target.exists() or not inside or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_is_alive(page):
    assert dead_links(page) == []


def test_a_dead_link_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text(
        "[b](b.md) [c](b.md#two-words) [d](b.md#gone) [e](e.md) [w](https://x)"
    )
    (tmp_path / "b.md").write_text("## Two words\n```\n## gone\n```\n")
    monkeypatch.setitem(globals(), "DOCS", tmp_path)
    assert dead_links(tmp_path / "a.md") == ["b.md#gone", "e.md"]


def test_every_page_is_in_the_navigation_once():
    config = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]

    def leaves(entries: list) -> list[str]:
        values = [value for entry in entries for value in entry.values()]
        return [leaf for v in values for leaf in ([v] if isinstance(v, str) else leaves(v))]

    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(leaves(config["nav"])) == sorted(pages)


def test_the_python_page_describes_every_public_name():
    described = re.findall(r"^::: isoflop\.(\w+)$", (DOCS / "api.md").read_text(), flags=re.M)
    assert sorted(described) == sorted(name for name in isoflop.__all__ if name[0] != "_")


def test_examples_stand_under_a_heading_that_the_site_knows():
    """Under any other the site takes [1, 2] of an output for a link, and its build fails."""
    modules = {getattr(isoflop, name).__module__ for name in isoflop.__all__ if name[0] != "_"}
    for module in sorted(modules):
        text = Path(importlib.import_module(module).__file__ or "").read_text()
        headings = re.findall(r"^ +(\w+):\n +>>>", text, re.M)
        assert {*headings} <= {"Examples"}, f"{module}: write 'Examples:' above its examples"


def source() -> str:
    """The program's text, in which strings that continue on the next line are one."""
    files = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_every_error_that_the_questions_quote_is_one_that_the_program_prints():
    page = (DOCS / "faq.md").read_text()
    quoted = re.findall(r'^\*\*(?:[^"*]*?)((?:"[^"]+"(?:, )?)+)\.?\*\*', page, flags=re.M)
    messages = [part for group in quoted for part in re.findall(r'"([^"]+)"', group)]
    ours = [message for message in messages if "--group" not in message]  # those are pip's
    assert len(ours) >= 7
    text = source()
    for message in ours:
        # What stands between values: numbers, names and sizes differ.
        fixed = re.split(r"\.\.\.|[\w.]*=?\d[\d.,]*|runtime\.device=\w+|n_heads=", message)
        longest = max((part.strip(" ;,") for part in fixed), key=len)
        assert longest in text, f"nothing prints {longest!r}, of {message!r}"


def test_the_glossary_has_every_status_and_every_metric_that_reports_lead_with():
    from analysis.errors import Status
    from train.rundir.record import STATUSES

    glossary = (DOCS / "glossary.md").read_text()
    words = [*STATUSES, *(f"`{status}`" for status in get_args(Status))]
    assert [word for word in words if word not in glossary] == []
    for term in ("BOS", "Chance", "Emergence score", "Exact match", "Headline", "MFU"):
        assert f"**{term}" in glossary
