"""What limbeck promises about bad input, rounding, kills and load, put to the test: see docs/reliability.md."""
