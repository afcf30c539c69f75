"""How good a codec is, beside Opus and the original. Run by tools/quality; see __main__.py."""
