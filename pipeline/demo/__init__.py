"""The demo: a conference through a worker.

run        a recorded FreeSWITCH conference, and the API calls that belong to it, which are in `scenario`
janus_run  a room in a real Janus: a `janus_process`, its bridge, and an `rtp_member`
screen     what both print; `arrivals` shows the events and fails when one does not come
command_process, console_process  commands of the pipeline as child processes
"""
