"""What a step of training consists of, on any device.

Knows: the plan of a batch, what a step's number decides, the passes through the network, and which processes share a
step. Does not know: who runs them (loop.py, device/).
"""
