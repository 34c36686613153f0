"""What was promised and what was done: the locked protocol, its amendments, the record of looks and decisions."""
