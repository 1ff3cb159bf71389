"""What metrics and scales are called in figures and sentences."""

from eval.evals_table import DEFAULT_OPERANDS

NAMES = {
    "exact_match": "exact match",
    "token_edit_distance": "token edit distance",
    "token_edit_distance_normalized": "edit distance / target length",
    "token_accuracy": "token accuracy",
    "answer_probability": "P(fully correct), exact",
    "token_nll": "token loss (nats)",
    "target_nll": "target loss (nats)",
    "multiple_choice_grade": "multiple-choice grade",
    "choice_probability": "P(right choice)",
    "brier_mean": "Brier score (BIG-bench: mean over choices)",
    "brier_sum": "Brier score (sum over choices)",
    "majority_match": "majority of samples right",
}
AXES = {
    "n_params": "parameters N",
    "n_tokens": "training tokens D",
    "flops": "training FLOPs C",
    "loss": "validation loss (nats/token)",
}


def task_title(task: str, operands: str) -> str:
    """A task in words: how its operands are drawn is said where it is not the usual way."""
    return task if operands in ("", DEFAULT_OPERANDS) else f"{task}, {operands}"


def name_of(metric: str) -> str:
    """A metric in words; one without an entry is its own name with spaces."""
    return NAMES.get(metric, metric.replace("_", " "))
