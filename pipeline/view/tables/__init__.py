"""What a view holds, without I/O and clock: the rooms, and the outcomes of signals."""
