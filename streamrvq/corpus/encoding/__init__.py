"""Files to codes: read in this process or ahead in others, and encoded as many at once as suit the engine.

Knows: that open.py makes an encoder (encoder.py) with what reads for it: reading.py here, readers.py in processes. Does
not know: rows, shards, workers.
"""
