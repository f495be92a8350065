"""Speed and memory of a download, next to curl followed by sha256sum.

    python benchmarks/fetch.py [--megabytes 1000] [--write benchmarks/results/fetch.md]

One server on the loopback serves one file of random bytes to both, by turns, best of three; each is
a process of its own, and ours verifies the digest as it writes. Needs curl and sha256sum. Prints
one JSON object.
"""

import argparse
import functools
import hashlib
import http.server
import json
import os
import shlex
import sys
import tempfile
import threading
import time
from pathlib import Path

from pages import add_row

FETCH = (
    "import sys; from pathlib import Path; from clipsonic_cli.store.fetch import fetch;"
    "fetch([sys.argv[1]], Path(sys.argv[2]), sha256=sys.argv[3])"
)
ROUNDS = 3


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Return nothing."""


def run(command: list[str]) -> tuple[float, float]:
    """Return a command's wall time in seconds and its peak memory in megabytes."""
    begin = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{shlex.join(command)} failed")
    return time.perf_counter() - begin, usage.ru_maxrss / 1e3


def main() -> None:
    """Measure, print, and add a row to the page."""
    parser = argparse.ArgumentParser(description="Download next to curl and sha256sum.")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="add a row to this page")
    arguments = parser.parse_args()
    megabytes = arguments.megabytes
    with tempfile.TemporaryDirectory() as folder:
        source, ours, theirs = (Path(folder) / name for name in ("source", "ours", "theirs"))
        digest = hashlib.sha256()
        with source.open("wb") as file:
            for _ in range(megabytes):
                block = os.urandom(1_000_000)
                digest.update(block)
                file.write(block)
        handler = functools.partial(Handler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/source"
        fetch = [sys.executable, "-c", FETCH, url, str(ours), digest.hexdigest()]
        plain = f"curl -s -o {theirs} {url} && sha256sum {theirs} >/dev/null"
        seconds: dict[str, list[float]] = {"fetch": [], "curl": []}
        memory = 0.0
        for _ in range(ROUNDS):
            ours.unlink(missing_ok=True)
            took, peak = run(fetch)
            seconds["fetch"].append(took)
            memory = max(memory, peak)
            seconds["curl"].append(run(["sh", "-c", plain])[0])
        server.shutdown()
    best = {name: min(times) for name, times in seconds.items()}
    result = {
        "megabytes": megabytes,
        "fetch_seconds": round(best["fetch"], 2),
        "curl_and_sha256sum_seconds": round(best["curl"], 2),
        "ratio": round(best["curl"] / best["fetch"], 2),
        "fetch_peak_megabytes": round(memory),
    }
    print(json.dumps(result))
    if arguments.write is not None:
        add_row(arguments.write, __file__, result)


if __name__ == "__main__":
    main()
