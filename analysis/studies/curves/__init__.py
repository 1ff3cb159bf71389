"""The law of whole loss curves and what it is good for; may import analysis.studies and below."""
