"""fits.json read back as typed objects; nobody else knows its keys but `studies.fits_json`."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis.data.cost_law import Cost
from analysis.errors import FitError
from analysis.fits.surface import PARAMETERS, Surface
from train.config.decode import decode_stored
from train.rundir.atomic import read_json
from train.rundir.sweep_layout import SweepPaths, fits_file


@dataclass(frozen=True)
class StoredProfile:
    """One IsoFLOP profile: its budget and minimum, and the sizes that would bracket it.

    The ends of the interval are None where the runs leave it open.
    """

    flops: float
    n_opt: float | None = None
    n_opt_interval: list[float | None] | None = None
    bracketed: bool = False
    reason: str = ""
    propose_n_params: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class StoredFit:
    """One approach; numbers that it does not have, or that were not finite, are None."""

    status: str = "not fitted"
    reason: str = ""
    objections: list[str] = field(default_factory=list)
    a: float | None = None
    b: float | None = None
    n_coefficient: float | None = None
    d_coefficient: float | None = None
    E: float | None = None
    A: float | None = None
    B: float | None = None
    alpha: float | None = None
    beta: float | None = None
    noise: float | None = None
    budgets: list[StoredProfile] = field(default_factory=list)

    @property
    def why(self) -> str:
        """The reason of the status in brackets, empty for none."""
        return f" ({self.reason})" if self.reason else ""


@dataclass(frozen=True)
class FittedRange:
    """Least and largest FLOPs of the fitted runs."""

    flops: list[float]


@dataclass(frozen=True)
class ExcludedRun:
    """A run that no fit used."""

    run_id: str
    reason: str = ""


@dataclass(frozen=True)
class CostLaw:
    """C = k N^gamma D."""

    k: float
    gamma: float


@dataclass(frozen=True)
class StoredFits:
    """What a fits.json says; `preferred_approach` is None for none, empty in older releases."""

    counting: str = "exact"
    n_runs: int = 0
    cost: CostLaw | None = None
    sources: list[str] = field(default_factory=list)
    fitted: FittedRange | None = None
    preferred_approach: str | None = ""
    excluded: list[ExcludedRun] = field(default_factory=list)
    envelope: StoredFit | None = None
    isoflop: StoredFit | None = None
    parametric: StoredFit | None = None
    kaplan: StoredFit | None = None
    path: Path = Path("fits.json")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def sweeps(self) -> tuple[Path, ...]:
        """Directories of the sweeps that were fitted; none for a foreign table."""
        own = self.path.parent.parent
        sources = [Path(source) for source in self.sources]
        found = [p for p in sources if SweepPaths(p).config.is_file()]
        if len(sources) == 1 and SweepPaths(own).config.is_file():
            found = [own]  # the sweep may have moved since it was fitted
        return tuple(found) if len(found) == len(sources) else ()

    @property
    def excluded_ids(self) -> set[str]:
        return {run.run_id for run in self.excluded}

    @property
    def surface(self) -> Surface:
        """The parametric surface with its cost law.

        Raises:
            FitError: the file has no parametric fit with numbers in it.
        """
        values = [getattr(self.parametric, name, None) for name in PARAMETERS]
        if self.cost is None or any(value is None for value in values):
            raise FitError(
                "the fits hold no parametric surface (E, A, B, alpha, beta); "
                "expected a fits.json of isoflop analyze with fit.approaches=[..., parametric]"
            )
        return Surface(*values, cost=Cost(self.cost.k, self.cost.gamma))  # type: ignore[arg-type]


def read_fits(place: str | Path) -> StoredFits:
    """The fits of a sweep's directory, of an analysis' own directory, or a fits.json itself.

    Args:
        place: Any of the three.

    Returns:
        StoredFits: `envelope`, `isoflop`, `parametric` and `kaplan` with their status and numbers,
        None for what was not fitted; `surface`; `preferred_approach`; what the runs were.

    Raises:
        FitError: there are none.
        IsoflopError: the file is damaged, or a value in it is of another type.

    Examples:
        >>> import json, pathlib
        >>> from isoflop import read_fits
        >>> law = {"E": 1.8, "A": 480, "B": 480, "alpha": 0.35, "beta": 0.35, "status": "converged"}
        >>> content = {"parametric": law, "cost": {"k": 6, "gamma": 1}}
        >>> _ = pathlib.Path("fits.json").write_text(json.dumps(content))
        >>> fits = read_fits("fits.json")
        >>> fits.parametric.status, f"{fits.surface.optimal(6e18).n_params:.0e}"
        ('converged', '1e+09')
    """
    place = Path(place)
    path = fits_file(place)
    if path is None:
        raise FitError(f"{place} has no analysis/fits.json; fit it first: isoflop analyze {place}")
    return fits_of_json(read_json(path), path)


def fits_of_json(content: Any, path: Path = Path("fits.json")) -> StoredFits:
    """The content of a fits.json; keys that later releases add are passed over.

    Raises:
        SpecError: a value of another type, under the path of its key.
    """
    if isinstance(content, dict) and "decision" in content:  # its name until release 0.2
        content = {"preferred_approach": content["decision"], **content}
    return replace(decode_stored(StoredFits, content, str(path), other_keys=True), path=path)
