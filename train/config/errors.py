"""Errors that a user can cause, and the checks that raise them."""

from typing import TypeVar

T = TypeVar("T")


class IsoflopError(Exception):
    """Root of every error that a user can cause; it says what, got, expected and the fix.

    Examples:
        >>> from isoflop import IsoflopError, ModelSpec
        >>> try:
        ...     ModelSpec(d_model=65, n_heads=4)
        ... except IsoflopError as error:
        ...     print(str(error).partition("; ")[2])
        use d_model=64 or 68
    """


class SpecError(IsoflopError):
    """A spec that can't describe a run."""


def require(condition: bool, message: str) -> None:
    """Raise `SpecError(message)` unless the condition holds."""
    if not condition:
        raise SpecError(message)


def one_of(what: str, got: str, expected: tuple[str, ...]) -> None:
    """Raise `SpecError` unless `got` is one of the expected names."""
    require(got in expected, f"{what}={got!r} is unknown; expected one of {', '.join(expected)}")


def at_least(least: float, group: str, spec: object, *names: str) -> None:
    """Raise `SpecError` unless each named value of a group is at least so large, or None."""
    for name in names:
        value = getattr(spec, name)
        require(value is None or value >= least, f"{group}{name}={value} must be >= {least:g}")


def positive(group: str, spec: object, *names: str) -> None:
    """Raise `SpecError` unless each named value of a group is above 0, or None."""
    for name in names:
        value = getattr(spec, name)
        require(value is None or value > 0, f"{group}{name}={value} must be positive")


def known(value: T | None, what: str) -> T:
    """The value of a field that `resolve` must have filled.

    Raises:  SpecError: the field is still None.
    """
    if value is None:
        raise SpecError(f"{what} is not resolved yet; use train.config.resolve.resolve")
    return value
