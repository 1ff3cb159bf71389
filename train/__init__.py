"""One run: a spec becomes a trained checkpoint and its metrics. Imports eval.tasks alone."""
