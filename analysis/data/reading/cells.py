"""Numbers as people write them in tables: 1,234,567 and 3,25 and 1.3B and 2.5e9 tokens.

A comma may group thousands or begin the decimals, and one cell alone can't always tell ("3,250"),
so the mark is decided for a column at a time, from all of its cells and from the file's.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "-", "--", "–", "—", "?")
)
"""What stands for no value, in lower case."""

_SCALES = {
    1e3: ("k", "thousand", "thousands"),
    1e6: ("m", "mm", "mn", "mio", "million", "millions"),
    1e9: ("b", "bn", "g", "billion", "billions"),
    1e12: ("t", "tn", "trillion", "trillions"),
}
SCALES = {word: scale for scale, words in _SCALES.items() for word in words}
"""Factors by the words and letters that people put after a number, in lower case."""

_NOUNS: dict[str, float] = dict.fromkeys(
    ("token", "tokens", "tok", "toks", "param", "params", "parameter", "parameters", "flop",
     "flops", "nat", "nats"), 1.0,
)  # fmt: skip
_COMPUTE = {
    f"{prefix}{noun}": scale
    for prefix, scale in zip("gtpezy", (1e9, 1e12, 1e15, 1e18, 1e21, 1e24), strict=True)
    for noun in ("flop", "flops")
} | {"pf-days": 8.64e19, "pf-day": 8.64e19, "pflop/s-days": 8.64e19, "pflop/s-day": 8.64e19}

_NUMBER = re.compile(
    r"""(?P<sign>[+-]?)(?P<body>\d[\d.,'’_\s]*|[.,]\d+)
        (?:e(?P<e>[+-]?\d{1,4})|\s*[x×*·]\s*10\s*(?:\^|\*\*)\s*(?P<ten>[+-]?\d{1,4}))?
        \s*(?P<words>[a-z][a-z/\s-]*)?""",
    re.VERBOSE,
)
_GROUPED = re.compile(r"\d{1,3}(?:(?P<gap>['’_\s])\d{3})(?:(?P=gap)\d{3})*(?![\d'’_\s])")


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, an empty text or one of `MISSING`."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and cell.strip().lower() in MISSING


def read_number(cell: str, decimal: str = ".") -> float | None:
    """The number that a cell states, with its suffix and unit applied; None if it states none.

    Args:
        cell: Such as "1.3B", "400M", "2.5e9 tokens", "1,234,567", "6 x 10^18", "12 PF-days".
        decimal: The decimal mark, "." or ","; the other one groups thousands.
    """
    found = _NUMBER.fullmatch(cell.strip().lower())
    if found is None:
        return None if cell.strip().lower() not in ("inf", "+inf", "infinity") else math.inf
    scale = _scale_of((found["words"] or "").split())
    body = _plain_body(found["body"].strip(), decimal)
    if scale is None or body is None:
        return None
    # One conversion of the whole text: 1.3 * 10**18 would not round like 1.3e18.
    value = float(f"{found['sign']}{body}e{found['e'] or found['ten'] or 0}")
    return value * scale if scale != 1 else value


def _scale_of(words: Sequence[str]) -> float | None:
    """The factor of the words after a number; None for a word that is none of ours."""
    scale = 1.0
    for place, word in enumerate(words):
        if word in SCALES and place == 0:
            scale = SCALES[word]
        elif word in _NOUNS or word in _COMPUTE:
            scale *= _NOUNS.get(word) or _COMPUTE[word]
        else:
            return None
    return scale


def _plain_body(body: str, decimal: str) -> str | None:
    """The digits with a point for the decimals and no groups; None where groups are not of 3."""
    grouped = _GROUPED.match(body)
    if grouped:
        body = re.sub(r"['’_\s]", "", grouped[0]) + body[grouped.end() :]
    group = "," if decimal == "." else "."
    whole, mark, part = body.partition(decimal)
    if group in part or decimal in part:
        return None
    if group in whole:
        if not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+", whole):
            return None
        whole = whole.replace(group, "")
    text = f"{whole or 0}{'.' if mark else ''}{part}"
    return text if re.fullmatch(r"\d+\.?\d*", text) else None


def decimal_evidence(cells: Iterable[str]) -> tuple[dict[str, str], str | None]:
    """Which decimal marks cells prove, with a cell for each, and a cell whose comma is either.

    "3,25" proves a comma, "1,234,567" a point; "3,250" is 3.25 or 3250 and proves neither.
    """
    proofs: dict[str, str] = {}
    unclear = None
    for cell in cells:
        found = _NUMBER.fullmatch(cell.strip().lower())
        if found is None or not ("," in cell or "." in cell):
            continue
        mark = _proven(found["body"].strip(), bool(found["e"] or found["ten"]))
        if mark:
            proofs.setdefault(mark, cell)
        elif "," in cell and unclear is None:
            unclear = cell
    return proofs, unclear


def _proven(body: str, has_exponent: bool) -> str | None:
    dots, commas = body.count("."), body.count(",")
    if dots and commas:
        mark = max(".,", key=body.rfind)
    elif dots > 1 or commas > 1:
        mark = "," if dots > 1 else "."
    else:
        mark = "." if dots else ","
        whole, _, part = body.partition(mark)
        if len(part) == 3 and whole not in ("", "0") and len(whole) <= 3 and not has_exponent:
            return None
    # A version or a date (2.9.1) has several points but is no number under either mark.
    return mark if _plain_body(body, mark) is not None else None
