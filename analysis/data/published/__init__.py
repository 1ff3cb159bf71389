"""Tables that others published, by name: a registry, their download, their columns as this
project's. Imports the readers' errors and train.data.file_io alone.
"""
