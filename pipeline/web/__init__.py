"""What the HTTP services share: the server, limits, and the life of a process. Needs the extra `web`."""
