"""Samples to a device. Knows: nothing itself; speaker.py opens one. Does not know: where samples come from."""
