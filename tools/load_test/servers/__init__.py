"""What is put under load: a server process, stand-in codecs, and the bare engine to compare with."""
