"""A wrong wall clock, for the process that finds this folder first on its PYTHONPATH."""

import os
import time

_WRONG_BY = float(os.environ.get("WRONG_BY_SECONDS", "0"))
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _WRONG_BY
time.time_ns = lambda: _time_ns() + int(_WRONG_BY * 1e9)
