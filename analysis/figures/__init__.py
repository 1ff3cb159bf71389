"""Numbers to figures; nothing is fitted here. May import studies and below."""
