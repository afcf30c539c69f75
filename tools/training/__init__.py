"""Runs of the trainer for a purpose: what a choice is worth, better weights to ship."""
