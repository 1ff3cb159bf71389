"""Questions that people ask of fitted laws; may import analysis.studies and all below, no words."""
