"""Conditions on the columns of a table, as in fit.where='loss < 4 and data in ["web", "code"]'.

A condition comes from a command line or a shared configuration, so it is data and never run: Python
only parses it, and the few kinds of nodes below are evaluated here, on columns and constants. Names
are columns, nothing else; there are no calls, attributes or subscripts.
"""

import ast
import difflib
import re
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.table_error import TableError

_ORDER = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
_EQUAL = {ast.Eq: np.equal, ast.NotEq: np.not_equal}
_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
_QUOTED = re.compile(r"""("[^"]*"|'[^']*')|`([^`]+)`""")
_EXAMPLE = "expected comparisons of columns, such as 'loss < 4 and n_tokens > 1e6'"
_MOST_CHARACTERS = 2000


def rows_where(frame: pd.DataFrame, condition: str) -> np.ndarray:
    """Which rows of a frame fulfil a condition, (rows,) of bool.

    Args:
        frame: The table; a column whose name is no Python name is written in `backticks`.
        condition: Comparisons (<, <=, >, >=, ==, !=, in, not in) of columns, numbers, texts, and
            sums or products of numbers, joined by and, or, not and parentheses.

    Raises:
        TableError: Anything else, an unknown column, or text compared with a number.
    """
    text = str(condition)
    try:
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(f"longer than {_MOST_CHARACTERS} characters")
        plain, quoted = _without_backticks(text)
        tree = ast.parse(plain.strip(), mode="eval").body
        result = _Columns(frame, quoted).value(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise TableError(f"fit.where={text[:200]!r}: {reason}; {_EXAMPLE}") from error
    if not (isinstance(result, np.ndarray) and result.dtype == bool):
        raise TableError(f"fit.where={text!r} is not a condition; {_EXAMPLE}")
    return result


def described(frame: pd.DataFrame, condition: str) -> str:
    """What the columns of a condition hold: 'loss is 2.1 to 4.3', so that a reader sees why no row
    passes.
    """
    plain, quoted = _without_backticks(str(condition))
    names = [n.id for n in ast.walk(ast.parse(plain.strip())) if isinstance(n, ast.Name)]
    return "; ".join(_range(frame, quoted.get(name, name)) for name in dict.fromkeys(names))


def _range(frame: pd.DataFrame, name: str) -> str:
    values = _column(frame, name)
    if values.dtype == object:
        texts = sorted({str(v) for v in values if v is not None})
        return f"{name} is one of {', '.join(texts[:5])}" + (", ..." if len(texts) > 5 else "")
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return f"{name} has no number"
    return f"{name} is {finite.min():.6g} to {finite.max():.6g}"


def _without_backticks(text: str) -> tuple[str, dict[str, str]]:
    """The condition with names in place of `quoted columns`, and the columns by those names."""
    quoted: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        if match.group(1):
            return match.group(1)
        name = f"_quoted_{len(quoted)}"
        quoted[name] = match.group(2)
        return name

    return _QUOTED.sub(named, text), quoted


class _Columns:
    """Values of a condition's nodes: arrays (rows,) of bool, float or text (object), or constants.

    A node that is not allowed is a ValueError whose message finishes "fit.where='...': ".
    """

    def __init__(self, frame: pd.DataFrame, quoted: dict[str, str]) -> None:
        self.frame, self.quoted = frame, quoted

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return _constant(node.value)
        if isinstance(node, ast.Name):
            return self.column(self.quoted.get(node.id, node.id))
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self.value(item) for item in node.elts]
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([self.truth(part) for part in node.values])
        if isinstance(node, ast.UnaryOp):
            return self.unary(node)
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if isinstance(node, ast.Compare):
            return self.compare(node)
        raise ValueError(f"{ast.unparse(node)} is not allowed in a condition")

    def column(self, name: str) -> np.ndarray:
        if name in self.frame:
            return _column(self.frame, name)
        known = [str(column) for column in self.frame.columns]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? It has" if near else "it has"
        raise ValueError(f"the table has no column {name!r}; {hint}: {', '.join(known[:30])}")

    def truth(self, node: ast.expr) -> np.ndarray:
        found = self.value(node)
        if isinstance(found, np.ndarray) and found.dtype == bool:
            return found
        raise ValueError(f"{ast.unparse(node)} is no comparison")

    def unary(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not | ast.Invert):
            return ~self.truth(node.operand)
        number = _number(self.value(node.operand), node.operand)
        return -number if isinstance(node.op, ast.USub) else number

    def binary(self, node: ast.BinOp) -> Any:
        operation = _ARITHMETIC.get(type(node.op))
        if operation is not None:
            sides = [_number(self.value(side), side) for side in (node.left, node.right)]
            with np.errstate(all="ignore"):
                return operation(*sides)
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            left, right = self.truth(node.left), self.truth(node.right)
            return left & right if isinstance(node.op, ast.BitAnd) else left | right
        if isinstance(node.op, ast.LShift | ast.RShift):
            sign = "<" if isinstance(node.op, ast.LShift) else ">"
            raise ValueError(f"{sign * 2} is no comparison; did you mean {sign} or {sign}=?")
        raise ValueError(f"{ast.unparse(node)} is not allowed in a condition")

    def compare(self, node: ast.Compare) -> np.ndarray:
        sides = [node.left, *node.comparators]
        parts = [
            self.one(sides[i], op, sides[i + 1], ast.unparse(node)) for i, op in enumerate(node.ops)
        ]
        return np.logical_and.reduce(parts)

    def one(self, left: ast.expr, op: ast.cmpop, right: ast.expr, shown: str) -> np.ndarray:
        a, b = self.value(left), self.value(right)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(b, list):
                raise ValueError(f"{shown}: in needs a list, such as in [1, 2]")
            found = np.zeros(len(self.frame), dtype=bool)
            for item in b:
                found |= self.compared(np.equal, a, item, shown)
            return ~found if isinstance(op, ast.NotIn) else found
        operation = _ORDER.get(type(op)) or _EQUAL.get(type(op))
        if operation is None or isinstance(a, list) or isinstance(b, list):
            raise ValueError(f"{shown} is no comparison of columns, numbers and texts")
        return self.compared(operation, a, b, shown)

    def compared(self, operation: np.ufunc, a: Any, b: Any, shown: str) -> np.ndarray:
        """One comparison as (rows,); what is absent fulfils none."""
        if _is_text(a) != _is_text(b):
            a, b = (_numbers_in(side, shown) if _is_text(side) else side for side in (a, b))
        # Absent text would be unequal to everything and so pass every `!=`.
        present = np.ones(len(self.frame), dtype=bool)
        for side in (a, b):
            if isinstance(side, np.ndarray):
                present &= ~np.asarray(pd.isna(side))
        if _is_text(a):
            a, b = (np.asarray("" if side is None else side, dtype=object) for side in (a, b))
            a, b = (np.where(pd.isna(side), "", side) for side in (a, b))
        result = np.asarray(operation(a, b), dtype=bool)
        return np.broadcast_to(result, (len(self.frame),)) & present


def _constant(value: object) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        try:
            return np.float64(value)
        except OverflowError as error:
            raise ValueError(f"{str(value)[:20]}... is too large") from error
    raise ValueError(f"{value!r} is neither a number nor a text")


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as bool, float or text (object, None where absent)."""
    series = frame[name]
    if isinstance(series, pd.DataFrame):
        raise ValueError(f"the table has {series.shape[1]} columns {name!r}")
    if pd.api.types.is_bool_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype=float, na_value=np.nan)
    texts = [None if value is None or value is pd.NA or value != value else str(value)
             for value in series.tolist()]  # fmt: skip
    return np.array(texts, dtype=object)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def _number(value: Any, node: ast.expr) -> Any:
    if isinstance(value, list | bool) or _is_text(value):
        raise ValueError(f"{ast.unparse(node)} is no number")
    return np.asarray(value, dtype=float) if isinstance(value, np.ndarray) else value


def _numbers_in(value: Any, shown: str) -> Any:
    """A column of text as numbers where some are, for `layers == "12"` read as text."""
    texts = pd.Series(np.atleast_1d(value), dtype=object)
    numbers = np.asarray(pd.to_numeric(texts, errors="coerce"), dtype=float)
    if isinstance(value, str) or np.isnan(numbers).all():
        raise ValueError(f"{shown} compares text with a number; put texts in quotes")
    return numbers
