"""Tests mirror the source; the parts under them are real."""
