"""Measure how long things take, so that one can believe it."""
