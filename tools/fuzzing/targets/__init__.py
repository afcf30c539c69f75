"""One file for each format: its `TARGETS`."""
