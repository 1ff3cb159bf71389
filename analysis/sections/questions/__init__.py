"""Answers of `analysis.studies.questions` in words, tables and figures; one module a question."""
