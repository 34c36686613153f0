"""Jobs for schedulers: SQL files that write moments to a table, and the readout of what they wrote."""
