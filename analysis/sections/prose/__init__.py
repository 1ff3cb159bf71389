"""Paragraphs of sections that say much: sentences from results, no figures. Imports no section."""
