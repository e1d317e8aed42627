"""Tests that run in Windows Python: see `setup` and `python` for how that is had."""
