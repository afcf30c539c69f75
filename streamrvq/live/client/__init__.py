"""The client of the websocket service."""
