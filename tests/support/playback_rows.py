"""Examples of the rows of contract §5 about playbacks, in its order. tests/support/examples.py describes their form."""

from __future__ import annotations

from tests.support.examples import (
    ENDS,
    LIVE,
    ONE,
    PAUSED,
    PLAY,
    PLAYING,
    START,
    STOPPED,
    THREE,
    TWO,
    Example,
    api,
    at,
    create,
    ended,
    failed,
    finished,
    of_play,
    paused,
    play,
    playing,
    resumed,
    rfc3339,
)

TWO_FILES = [create(), play(ONE, TWO)]
REQUESTS = [
    Example(
        "play: stopped",
        [create()],
        play(ONE, TWO),
        [of_play("started", PLAY, LIVE, _urls=[ONE, TWO])],
        room=playing(11, urls=(ONE, TWO), files_finished=0, started_at=at(1), last_event_at=at(1)),
    ),
    Example("play: playing", PLAYING, play(operation_id="p2"), rejected="playback_active", room=playing(11)),
    Example("play: paused", PAUSED, play(operation_id="p2"), rejected="playback_active", room=paused(9)),
    Example("pause: playing", PLAYING, api("pause"), [of_play("paused", "pause-1", LIVE)],
            room=paused(9, started_at=at(1), last_event_at=at(2))),
    Example(
        "pause: paused",
        PAUSED,
        api("pause", at=60),
        [resumed()],
        room=playing(69, started_at=at(1), last_event_at=at(60)),
    ),
    Example(
        "pause: the remaining time is kept over several pauses",
        [*PAUSED, api("pause", at=20), api("pause", at=28), api("pause", at=40)],
        api("pause", at=40.5),
        [of_play("paused", "pause-1", LIVE)],
        room=paused(0.5),
    ),
    Example("pause: stopped", [create()], api("pause"), rejected="playback_inactive", room=STOPPED),
    Example("stop: stopped", [create()], api("stop"), rejected="playback_inactive", room=STOPPED),
    Example(
        "stop: playing",
        PLAYING,
        api("stop"),
        [of_play("stopped", "stop-1", ENDS)],
        room={**STOPPED, **ended("stop", 2, ONE)},
    ),
    Example("stop: paused", PAUSED, api("stop"), [of_play("stopped", "stop-1", ENDS)],
            room={**STOPPED, **ended("stop", 3, ONE)}),
    Example("stop: its files left are the urls without as many as have finished", [*TWO_FILES, finished(TWO)], api("stop"),
            [of_play("stopped", "stop-1", ENDS)], room=ended("stop", 3, TWO)),
    Example(
        "volume: stopped, lowest",
        [create()],
        api("volume", volume=-50),
        [of_play("volume_changed", "volume-1", {}, _volume=-50)],
        room=STOPPED,
    ),
    Example(
        "volume: paused, highest",
        PAUSED,
        api("volume", volume=7),
        [of_play("volume_changed", "volume-1", LIVE, _volume=7)],
        room=paused(9),
    ),
    Example("volume: too high", PLAYING, api("volume", volume=8), rejected="volume_out_of_range", room=playing(11)),
    Example("volume: too low", [create()], api("volume", volume=-51), rejected="volume_out_of_range"),
    Example(
        "the watchdog fires before a signal of the same time",
        PLAYING,
        finished(at=11),
        [
            of_play(
                "failed", PLAY,
                {**ENDS, "synthetic": True, "cause": PLAY, "occurred_at": rfc3339(START + 11_000_000)},
                urls=[ONE], error="playback_timeout",
            ),
            of_play("finished", "", {}, urls=[ONE]),
        ],
        room={**STOPPED, **ended("timeout", 11), "last_event_at": at(11)},
    ),
    Example(
        "the watchdog does not fire a microsecond before",
        PLAYING,
        finished(at=10.999999),
        [of_play("finished", PLAY, ENDS, urls=[ONE])],
        room=STOPPED,
    ),
]  # fmt: skip

OTHER_FINISHED = of_play("finished", "", {}, urls=[ONE])
REPORTS = [
    Example("progress: dispatch", PLAYING, {"type": "play.progress", "url": ONE}, no_op="progress", room=playing(11)),
    *(
        Example(f"progress: {more}", PLAYING, {"type": "play.progress", **more}, no_op="progress", mode="progress",
                room=playing(deadline))
        for more, deadline in (
            ({"operation_id": PLAY}, 12), ({"url": ONE}, 12), ({"operation_id": PLAY, "url": "/x"}, 12),
            ({}, 11), ({"url": TWO}, 11), ({"operation_id": "p2", "url": ONE}, 11),
        )
    ),
    Example("progress: paused", PAUSED, {"type": "play.progress", "url": ONE}, no_op="progress", mode="progress",
            room=paused(9)),
    Example("finished: the only file", PLAYING, finished(), [of_play("finished", PLAY, ENDS, urls=[ONE])],
            room={**STOPPED, **ended("finished", 2), "last_event_at": at(2)}),
    Example("finished: named by its id", PLAYING, finished("/file", operation_id=PLAY),
            [of_play("finished", PLAY, ENDS, urls=["/file"])], room=STOPPED),
    Example("finished: not the last", TWO_FILES, finished(TWO), [of_play("finished", PLAY, LIVE, urls=[TWO])],
            room=playing(12, files_finished=1)),
    Example("finished: not the last, paused", [*TWO_FILES, api("pause")], finished(),
            [of_play("finished", PLAY, LIVE, urls=[ONE])], room=paused(10, files_finished=1)),
    Example("finished: the last of two, the same url twice", [*TWO_FILES, finished()], finished(),
            [of_play("finished", PLAY, ENDS, urls=[ONE])], room=STOPPED),
    Example("finished: the last, paused", [*TWO_FILES, finished(), api("pause")], finished(TWO),
            [of_play("finished", PLAY, ENDS, urls=[TWO])], room=STOPPED),
    Example("finished: another url", PLAYING, finished("/file"), [of_play("finished", "", {}, urls=["/file"])],
            room=playing(11)),
    Example("finished: an old operation_id, though the url fits", PLAYING, finished(operation_id="old"), [OTHER_FINISHED],
            room=playing(11, files_finished=0)),
    Example("finished: stopped", [create()], finished(operation_id=PLAY), [OTHER_FINISHED], room=STOPPED),
    Example("finished: after the last one, without its id", [*PLAYING, finished()], finished(), [OTHER_FINISHED],
            room=ended("finished", 2)),
    Example("finished: after a failure, without its id", [*PLAYING, failed()], finished(), [OTHER_FINISHED]),
    Example("failed: with urls", TWO_FILES, failed(TWO, "/x"),
            [of_play("failed", PLAY, ENDS, urls=[TWO, "/x"], error="playback_error")],
            room={**STOPPED, **ended("failed", 2)}),
    Example("failed: without", [*TWO_FILES, api("pause")], failed(),
            [of_play("failed", PLAY, ENDS, urls=[ONE, TWO], error="playback_error")], room=STOPPED),
    Example("failed: by id, other urls", PLAYING, failed("/x", operation_id=PLAY),
            [of_play("failed", PLAY, ENDS, urls=["/x"], error="playback_error")], room=STOPPED),
    Example("failed: other urls", PLAYING, failed("/x"),
            [of_play("failed", "", {}, urls=["/x"], error="playback_error")], room=playing(11)),
    Example("failed: another id", PLAYING, failed(operation_id="old"),
            [of_play("failed", "", {}, urls=[], error="playback_error")], room=playing(11)),
    Example("failed: stopped", [create()], failed(), [of_play("failed", "", {}, urls=[], error="playback_error")]),
]  # fmt: skip

OTHER_FAILED = of_play("failed", "", {}, urls=[ONE], error="playback_error")
STOPPED_PLAY = [create(), play(ONE, TWO, ONE), finished(ONE), api("stop")]  # at 3 s, with TWO and ONE left
NEXT = [*PLAYING, api("stop"), play(operation_id="p2")]  # the same file again, a second after the stop at 2 s
P2 = {"playback_id": "p2", "ends_playback": True}
LEFT = ended("stop", 3, TWO, ONE)
FINISHED_P2 = of_play("finished", "p2", P2, urls=[ONE])
FAILED_P2 = of_play("failed", "p2", P2, urls=[ONE], error="playback_error")
AFTER_STOP = [
    Example("after_stop: by url", STOPPED_PLAY, finished(TWO), no_op="after_stop", room=ended("stop", 3, ONE)),
    Example("after_stop: by url, the first that is equal", [create(), play(ONE, TWO, ONE), api("stop")], finished(ONE),
            no_op="after_stop", room=ended("stop", 2, TWO, ONE)),
    Example("after_stop: by url, much later", STOPPED_PLAY, finished(TWO, at=3600), no_op="after_stop",
            room=ended("stop", 3, ONE)),
    Example("after_stop: failed with one url", STOPPED_PLAY, failed(TWO), no_op="after_stop", room=ended("stop", 3, ONE)),
    Example("after_stop: another url", STOPPED_PLAY, finished(THREE), [of_play("finished", "", {}, urls=[THREE])], room=LEFT),
    Example("after_stop: a file that finished before", [create(), play(ONE, TWO), finished(ONE), api("stop")], finished(ONE),
            [OTHER_FINISHED], room=ended("stop", 3, TWO)),
    Example("after_stop: no more often than the file was left", [*STOPPED_PLAY, finished()], finished(), [OTHER_FINISHED],
            room=ended("stop", 3, TWO)),
    Example("after_stop: failed with two urls", STOPPED_PLAY, failed(TWO, ONE),
            [of_play("failed", "", {}, urls=[TWO, ONE], error="playback_error")], room=LEFT),
    Example("after_stop: failed without urls", STOPPED_PLAY, failed(),
            [of_play("failed", "", {}, urls=[], error="playback_error")], room=LEFT),
    Example("after_stop: still after a rejected request", [*STOPPED_PLAY, api("pause")], finished(), no_op="after_stop"),
    Example("after_stop: not of a playback that finished", [*PLAYING, finished()], failed(ONE), [OTHER_FAILED]),
    # The next playback is live: the report without an operation_id is late for 2 s.
    Example("after_stop: live, a microsecond before 2 s", NEXT, finished(at=3.999999), no_op="after_stop",
            room={**playing(13, operation_id="p2"), **ended("stop", 2)}),
    Example("after_stop: live, after 2 s", NEXT, finished(at=4), [FINISHED_P2],
            room={**STOPPED, **ended("finished", 4, operation_id="p2")}),
    Example("after_stop: live, a failure a microsecond before 2 s", NEXT, failed(ONE, at=3.999999), no_op="after_stop",
            room={**playing(13, operation_id="p2"), **ended("stop", 2)}),
    Example("after_stop: live, a failure after 2 s", NEXT, failed(ONE, at=4), [FAILED_P2]),
    Example("after_stop: live, once", [*NEXT, finished(at=3)], finished(at=3), [FINISHED_P2]),
    Example("after_stop: live, a failure without urls is of the live one", NEXT, failed(at=3), [FAILED_P2]),
    Example("after_stop: live, by the operation_id of the live one", NEXT, finished(operation_id="p2", at=3), [FINISHED_P2]),
    Example("after_stop: paused", [*NEXT, api("pause", at=3)], finished(at=3.5), no_op="after_stop",
            room={"playback_status": "paused", **ended("stop", 2)}),
    Example("after_stop: live, another file that was not left", [*STOPPED_PLAY, play(THREE, operation_id="p2")],
            finished(THREE, at=4), [of_play("finished", "p2", P2, urls=[THREE])]),
    # By its operation_id, the late report is of the stopped playback at any time.
    Example("after_stop: by id", STOPPED_PLAY, finished("/x", operation_id=PLAY), no_op="after_stop", room=LEFT),
    Example("after_stop: by id, with a url that was left", STOPPED_PLAY, finished(ONE, operation_id=PLAY),
            no_op="after_stop", room=ended("stop", 3, TWO)),
    Example("after_stop: by id, a failure with the first of its urls left", STOPPED_PLAY, failed(ONE, TWO, operation_id=PLAY),
            no_op="after_stop", room=ended("stop", 3, TWO)),
    Example("after_stop: by id, a failure with the first of its urls not left", STOPPED_PLAY,
            failed("/x", ONE, operation_id=PLAY), no_op="after_stop", room=LEFT),
    Example("after_stop: by id, a failure without urls", STOPPED_PLAY, failed(operation_id=PLAY), no_op="after_stop",
            room=LEFT),
    Example("after_stop: by id, while the next one plays", NEXT, finished(operation_id=PLAY, at=9), no_op="after_stop",
            room={**playing(13, operation_id="p2"), **ended("stop", 2)}),
    Example("after_stop: by id, again and again", [*NEXT, finished(operation_id=PLAY)], finished(operation_id=PLAY),
            no_op="after_stop"),
    Example("after_stop: by id, not after the next one has ended", [*NEXT, finished(at=4)], finished(operation_id=PLAY),
            [OTHER_FINISHED], room=ended("finished", 4, operation_id="p2")),
    Example("after_stop: another id", STOPPED_PLAY, finished(TWO, operation_id="p2"),
            [of_play("finished", "", {}, urls=[TWO])], room=LEFT),
]  # fmt: skip

ALREADY_ENDED = [
    *(
        Example(f"already_ended: {first['type']}", [*PLAYING, first], second, no_op="already_ended",
                room={**STOPPED, **ended(by, 2)})
        for first, by in ((finished(), "finished"), (failed(), "failed"))
        for second in (finished(operation_id=PLAY), finished("/x", operation_id=PLAY), failed(operation_id=PLAY),
                       failed(ONE, TWO, operation_id=PLAY))
    ),
    Example("already_ended: while the next one plays", [*PLAYING, failed(), play(operation_id="p2")],
            finished(operation_id=PLAY), no_op="already_ended", room=playing(13, operation_id="p2", files_finished=0)),
    Example("already_ended: not after the next one has ended", [*PLAYING, failed(), play(operation_id="p2"), api("stop")],
            finished(operation_id=PLAY), [OTHER_FINISHED], room=ended("stop", 4, ONE, operation_id="p2")),
    Example("already_ended: the live one has the same id", [*PLAYING, failed(), play(TWO)],
            finished(TWO, operation_id=PLAY), [of_play("finished", PLAY, ENDS, urls=[TWO])]),
    Example("already_ended: not after the watchdog", [*PLAYING, api("volume", volume=0, at=20)],
            finished(operation_id=PLAY, at=21), [OTHER_FINISHED], room=ended("timeout", 11)),
    Example("already_ended: a failure after the watchdog", [*PLAYING, api("volume", volume=0, at=20)],
            failed(ONE, operation_id=PLAY, at=21), [OTHER_FAILED]),
]  # fmt: skip

PLAYBACK = [*REQUESTS, *REPORTS, *AFTER_STOP, *ALREADY_ENDED]
