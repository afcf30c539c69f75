"""How good a codec is, compared with Opus and the original. tools/quality runs it; see __main__.py."""
