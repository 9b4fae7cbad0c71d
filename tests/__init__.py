"""Tests, by the folder they test; helpers in `tests/support`. A package: `tests.support` is always ours."""
