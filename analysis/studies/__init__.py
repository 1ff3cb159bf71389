"""Questions asked of a table through the fits. May import fits and below."""
