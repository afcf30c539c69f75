"""Training on a card: the crops, the step and its optimisers without a host that the card waits for.

Knows: how a step of loop.py is computed where kernels are cheap and every wait is dear. Does not know: files, runs.
"""
