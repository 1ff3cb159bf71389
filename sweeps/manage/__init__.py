"""What is done to a sweep that exists: status, collect, retry. May import launch and below."""
