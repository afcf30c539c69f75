"""The websocket protocol as values and bytes, for both sides. PROTOCOL.md is its text. No asyncio."""
