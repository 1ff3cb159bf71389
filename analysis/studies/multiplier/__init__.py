"""What an intervention is worth in compute; may import analysis.studies and all below, no words."""
