"""The websocket protocol as values and bytes, for client and server. PROTOCOL.md specifies it. No asyncio here."""
