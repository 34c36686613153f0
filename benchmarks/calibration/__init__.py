"""False-positive rates and coverage of every procedure in metricdef.stats, by simulation: `make calibrate-stats`."""
