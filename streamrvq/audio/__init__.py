"""Audio in and out: sample formats, files, sample rates. It does not know codecs."""
