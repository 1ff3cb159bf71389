"""Source code and documentation of installed Python packages: text without a network.

This project's own dependencies install some hundred megabytes of it under licences that permit its
use; what a package says of its licence is checked, so that no other text gets in unseen.
"""

import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from train.config.spec import SpecError, require

PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Unlicense|0BSD)\b", re.IGNORECASE
)
OTHERS = re.compile(r"\b(A?GPL|LGPL|proprietary|non-?commercial)", re.IGNORECASE)

SUFFIXES = (".py", ".pyi", ".md", ".rst", ".txt")

DEPENDENCIES = (
    *("torch", "transformers", "sympy", "scipy", "numpy", "pandas", "networkx", "matplotlib"),
    *("datasets", "accelerate", "huggingface_hub", "rich", "Jinja2", "psutil"),
)
"""Packages of text that come with every installation of this project."""


@dataclass(frozen=True)
class PackageOptions:
    """names: installed distributions, whose source and documentation are read."""

    names: list[str] = field(default_factory=lambda: list(DEPENDENCIES))

    def __post_init__(self) -> None:
        require(len(self.names) > 0, "data source 'packages': options.names is empty; name some")


def package_files(options: PackageOptions) -> list[Path]:
    """Text files of the packages in order of package and path.

    Raises:  SpecError: one that is not installed, or whose licence is not known to permit this.
    """
    found: list[Path] = []
    for name in options.names:
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise SpecError(
                f"data source 'packages': {name} is not installed; install it, or choose others "
                f"with options.names"
            ) from error
        licence = licence_of(package)
        if OTHERS.search(licence) or not PERMISSIVE.search(licence):
            raise SpecError(
                f"data source 'packages': the licence of {name} ({licence or 'none given'}) is not "
                f"known to be permissive; leave it out of options.names"
            )
        files = [f for f in package.files or () if f.suffix in SUFFIXES]
        found += sorted(Path(str(file.locate())) for file in files)
    return [path for path in found if path.is_file() and path.stat().st_size]


def licence_of(package: metadata.Distribution) -> str:
    """A package's licence: expression, classifiers, or the first line of its text."""
    fields: Any = package.metadata
    stated = fields.get("License-Expression") or ""
    classified = [c for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
    text = "".join(fields.get_all("License") or ()).strip().splitlines()
    return stated or "; ".join(classified) or (text[0] if text else "")
