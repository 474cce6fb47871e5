"""The console: pages for people on call, live. It only reads; it keeps no state but its view (docs/howto/console.md).

From the bottom up:

    settings                 its settings, `CONSOLE_*`
    room_index               all rooms as rows of a list, with filters and orders (pure)
    templating, shown        templates, and what they show of rooms, timelines and letters (pure)
    fragments                parts of a page, and the differences that a stream sends (pure)
    history, feed, letters   timelines of rooms, rejections, dead letters and engines, from one shared reader
    room_hub, flow           changes of rooms, and the state of the pipeline, read once for all viewers
    pages, streams           pages and their streams
    sessions, guard          who may see them
    app, process             the routes, and the process
"""
