"""A second, independent reading of what a metricdef project means: slow, row by row, exact.

Nothing here may import the package under test. See oracle.py for the entry point `analyse`.
"""
