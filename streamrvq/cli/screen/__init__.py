"""What terminals of any width show. Knows: nothing itself. Does not know: what is shown."""
