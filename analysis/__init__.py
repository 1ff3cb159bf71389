"""Results: fits, emergence, figures, report. May import eval and train."""
