"""The ``.dac`` files of descript's package: read without unpickling, written, decoded in chunks as that package does.

Knows: nothing itself. Does not know: token files of our own.
"""
