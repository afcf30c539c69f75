"""A page with clips to listen to: original, a codec at several numbers of codebooks, Opus. tools/listen runs it."""
