"""Generated requests to a real gateway: schemathesis with the gateway's OpenAPI document (`make fuzz-http`).

    python -m tests.fuzz.http_api [--examples 30] [--seed 1]

It starts servers, a worker and a gateway, and runs `schemathesis` of the virtual environment `.venv-schemathesis`. The
checks: no 500, only documented statuses and content types, answers that fit their schemas, and no endpoint without keys.
Exit code: that of schemathesis.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from testkit.pipe import ROOT, Pipe
from testkit.servers import servers
from tests.support.gateway import NO_COOLDOWNS, PATIENT, apps_file

COMMAND: Final = ROOT / ".venv-schemathesis" / "bin" / "schemathesis"
CHECKS: Final = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
)
OWN: Final = {
    **NO_COOLDOWNS,
    "GATEWAY_WAIT_SECONDS": "2",
    "GATEWAY_APP_REQUESTS_PER_SECOND": "100000",
    "GATEWAY_ANONYMOUS_REQUESTS_PER_SECOND": "100000",
}
STREAM: Final = "/api/v1/events"
"""Its answers have no end."""


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--examples", type=int, default=30, help="requests of each kind and operation (%(default)s)")
    options.add_argument("--seed", type=int, default=1, help="of the generator (%(default)s)")
    given = options.parse_args(arguments)
    with servers() as where, tempfile.TemporaryDirectory() as folder:
        pipe = Pipe(where)
        asyncio.run(pipe.set_up())
        with pipe.worker(**PATIENT), pipe.gateway(apps_file(Path(folder)), **OWN) as gateway:
            command = [
                str(COMMAND), "run", f"{gateway.api}/openapi.json", "--checks", CHECKS, "--exclude-path", STREAM,
                "--header", "X-App-ID: a", "--header", "X-API-Key: a-key", "--seed", str(given.seed),
                "--max-examples", str(given.examples), "--phases", "examples,coverage,fuzzing", "--no-color",
            ]  # fmt: skip
            code = subprocess.run(command, cwd=folder, check=False).returncode
            faults = [line for line in gateway.lines if '"error"' in line or "Traceback" in line]
    print("\n".join(faults) or "the gateway has logged no error")
    return code or bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
