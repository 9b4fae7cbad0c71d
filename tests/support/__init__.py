"""Helpers of the tests: their environment, and the parts of the machine that they need."""
