"""The module that is trained: forward pass, loss, optimiser. May import config."""
