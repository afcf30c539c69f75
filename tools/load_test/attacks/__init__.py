"""Attackers: what a hostile client does to the server, one kind in each module, and the process that does it."""
