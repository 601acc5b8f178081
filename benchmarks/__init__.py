"""Paired timings: limbeck beside what a user would pick instead. ``make bench`` writes docs/benchmarks.md."""
