"""The demo: a recorded FreeSWITCH conference, the API calls that belong to it, and a run of both through a worker."""
