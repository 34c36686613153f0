"""Statistics from sufficient statistics: effects, adjustment, families of tests, and the checks of an experiment."""
