"""Text and tokens to batches. May import model, rundir, config and eval.tasks."""
