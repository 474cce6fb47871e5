"""Janus' AudioBridge.

adapter    its events → media signals, pure
api        requests of its websocket API and their replies
listener   the server for its event handler, which is a `websocket_listener` or a `post_listener`
rooms      who is where; making and deleting rooms
player     playing and stopping files; `playlists` keeps which one plays
engine     all parts together
"""
