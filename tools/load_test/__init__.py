"""What ``tools/load`` and ``tools/soak`` are made of: a real server process, many clients, faults, the reckoning."""
