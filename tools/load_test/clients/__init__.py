"""The clients that put load on the server: their audio, their pace, their faults."""
