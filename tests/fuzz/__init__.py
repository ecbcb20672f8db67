"""Fuzz tests: random inputs by Hypothesis in the test suite, and coverage-guided long runs."""
