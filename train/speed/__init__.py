"""What this machine was measured to do fastest, and what a run takes of it. Measuring needs torch
and happens in a process of its own; choosing does not. May import engine and the rooms below it."""
