"""Measurements: a generated warehouse, the workload and the programs it is compared with."""
