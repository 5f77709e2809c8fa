"""Notebooks that are made: one for each approved run, executed, with outputs."""
