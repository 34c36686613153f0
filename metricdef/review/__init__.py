"""Definitions in words, and what a change of them does: to metrics, to experiments, to their numbers."""
