"""What a run is and what follows from it: specs, shapes, FLOPs, rates. Imports no other room."""
