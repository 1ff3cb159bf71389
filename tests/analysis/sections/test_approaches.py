from types import SimpleNamespace

import numpy as np

from analysis.fits.envelope import EnvelopeFit
from analysis.sections.approaches import envelope_section


def test_an_envelope_without_points_is_a_reason_and_no_figure():
    """As of runs that end within their first validation: the report must still be made."""
    none = np.empty(0)
    reason = "the envelope touches 0 model size(s)"
    fit = EnvelopeFit(none, none, none, none, none, None, None, "bins", "degenerate", reason)
    study = SimpleNamespace(find=lambda kind: SimpleNamespace(fit=fit, intervals={}))
    section = envelope_section(study)  # type: ignore[arg-type]
    assert section is not None
    assert section.paragraphs == [f"Status: degenerate; {reason}."]
    assert section.figures == []
