"""Training on a GPU: the crops, the step and its optimisers, arranged so that the GPU never waits for the host.

Knows: how a step of loop.py is computed where kernels are cheap and waiting is expensive. Does not know: files, runs.
"""
