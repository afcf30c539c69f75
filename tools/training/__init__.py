"""Runs of the trainer for a purpose: to measure what a choice is worth, and to make better weights to ship."""
