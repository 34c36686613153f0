"""Statistics from sufficient statistics: moments, effects, adjustment, score proportions, multiplicity, SRM, guards."""
