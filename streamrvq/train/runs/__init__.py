"""What a run's folder holds beside its checkpoint: a lock, a record of its data, a log, and what ``info`` says of it.

Knows: files and their names. Does not know: torch, how anything is trained.
"""
