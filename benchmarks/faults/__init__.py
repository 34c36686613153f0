"""The fault catalogue: a clean experiment, what may go wrong with its data, and whether the readout notices."""
