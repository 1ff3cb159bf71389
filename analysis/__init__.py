"""Results: fits, emergence, figures, report. May import eval and train."""

import os

if os.environ.get("MPLBACKEND", "").startswith(("inline", "module://", "ipympl", "widget")):
    import sys

    # A notebook hands its children the name of its backend, which matplotlib refuses where the
    # notebook's packages are missing. Every figure here goes into a file and needs none.
    if "IPython" not in sys.modules:
        del os.environ["MPLBACKEND"]
