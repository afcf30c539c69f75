"""The server of the websocket service."""
