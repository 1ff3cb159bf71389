"""Tasks from files: rows of JSONL or parquet, and BIG-bench's task.json. May import eval.tasks."""
