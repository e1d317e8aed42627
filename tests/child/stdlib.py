"""Cases of the standard library's own tests."""

import unittest

import pytest


def passes(case: unittest.TestCase, never_skipped_for: str = "") -> None:
    """Run a case, which must pass; skips for the reason that the case gives, but never for this one."""
    result = unittest.TestResult()
    case.run(result)
    assert not result.errors + result.failures, "\n".join(text for _, text in result.errors + result.failures)
    if result.skipped:
        reason = result.skipped[0][1]
        assert not never_skipped_for or never_skipped_for not in reason
        pytest.skip(reason=reason)
