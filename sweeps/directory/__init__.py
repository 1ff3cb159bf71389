"""The status of a sweep's runs and their records, checked. Imports no other room."""
