"""What a connection costs before it has authenticated: how many there are, how long they wait, what they may send."""
