"""Forms of the loss in N and D other than the additive one, fitted by one solver. May import fits
and below.
"""
