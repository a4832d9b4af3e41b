"""Proof that an artifact predicts as its checkpoint does."""
