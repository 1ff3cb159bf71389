"""Training what is planned, here or in a pool of workers. May import plan and below."""
