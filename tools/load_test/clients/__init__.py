"""Those who put the load on: clients, their audio, their pace, their faults."""
