"""The approaches to a compute-optimal fit, behind one type; imports analysis.fits and below."""
