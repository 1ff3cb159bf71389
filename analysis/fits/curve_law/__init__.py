"""A law of the loss along training under any schedule; pure, may import what analysis.fits may."""
