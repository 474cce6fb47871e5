"""The console: pages for people on call, live. It only reads; it keeps no state but its view (docs/howto/console.md).

From the bottom up:

    settings                            its settings, `CONSOLE_*`
    room_index                          all rooms as rows of lists, with filters and orders (pure)
    templating, fragments               templates that escape; parts of a page, and what of them has changed
    history, letters, feed              timelines, letters, rejections and bridges, from one shared reader
    room_hub, flow                      changes of rooms, and the state of the workers, for all viewers together
    live_page, rooms_page, room_page,
    pipeline_page, streams              the pages, and their streams
    sessions, guard                     who may see them
    app, process                        the routes, and the process
"""
