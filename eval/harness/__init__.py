"""Benchmarks by name: lm-evaluation-harness (the extra lm-eval) asks, our model class answers.

Its tasks, prompts, filters, metrics and groups; our batching, prompt caches and records. May import
eval.lm, eval.evaluate and eval.tasks; imports of lm_eval stay in `model` and `ask`.
"""
