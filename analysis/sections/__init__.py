"""Results to words, tables and figures of the report. May import every other room."""
