"""Measurements, run by hand: `python -m tests.benchmarks.<name>`. The tests do not run them."""
