"""FreeSWITCH."""
