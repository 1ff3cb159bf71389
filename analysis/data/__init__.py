"""Tables of runs and what is read off them. Imports no other room."""
