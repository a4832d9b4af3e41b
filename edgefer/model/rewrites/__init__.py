"""Exact rewrites: each equals what it replaces up to the order of summation, or declines."""
