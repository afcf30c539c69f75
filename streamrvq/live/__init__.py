"""Live audio with asyncio: sources, a queue of tokens, a websocket service. The event loop computes nothing."""
