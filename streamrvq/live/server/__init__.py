"""The websocket service."""
