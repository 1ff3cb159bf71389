"""The files of one sweep and the status of its runs. Imports no other room."""
