"""The asyncio shell: sources of live audio, and the queue of tokens. Computes nothing on the event loop."""
