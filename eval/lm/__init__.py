"""A language model's answers: loading, likelihood, generation. May import metrics and tasks."""
