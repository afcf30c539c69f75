"""What is put under load: a server process, stand-in codecs, the bare engine beside it."""
