"""The parts of ``tools/load`` and ``tools/soak``: a real server process, many clients, faults, measurements."""
