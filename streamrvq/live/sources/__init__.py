"""Where live audio comes from: a microphone, a file at real-time pace."""
