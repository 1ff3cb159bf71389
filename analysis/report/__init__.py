"""A document to HTML, markdown and W&B. May import figures and below."""
