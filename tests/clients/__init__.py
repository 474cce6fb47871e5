"""Clients in other packages and languages."""
