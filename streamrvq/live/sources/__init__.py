"""Sources of live audio: a microphone, a file at real-time pace."""
