"""The peer of bench/round-overhead/run.ts: Flower's deployment engine, one SuperLink and four SuperNodes on loopback.

Its last line on standard output is {"version", "roundSeconds", "roundWithEvaluationSeconds"}. `roundSeconds` is what our rounds
are: model down, update up, mean taken, from the beginning of a round to where the next could begin. Flower's strategies ask for
an evaluation after each training by default, a second exchange of the same kind; both together are the other list.
"""

import importlib.metadata
import json
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from bounded_peer import bounded_run

ROUNDS = 4
SITES = 4
SECONDS_MAX = 230
POLL_SECONDS = 0.25
APP = Path(__file__).with_name("flower_app_peer.py")

PROJECT = f"""
[project]
name = "round-overhead"
version = "1.0.0"
description = "FedAvg without training"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "lantern"

[tool.flwr.app.components]
serverapp = "{APP.stem}:server_app"
clientapp = "{APP.stem}:client_app"

[tool.flwr.app.config]
rounds = {ROUNDS}
events = %s
"""

CONNECTION = """
[superlink]
default = "loopback"

[superlink.loopback]
address = "%s"
insecure = true
"""


def free_addresses(count):
    """Loopback addresses that were free just now. Port 0 would not do: a SuperNode tells its own helper the 0, not the port."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def wait_until_listening(address, process):
    host, port = address.split(":")
    while True:
        if process.poll() is not None:
            raise RuntimeError("SuperLink ended before it listened")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(POLL_SECONDS)


def start(name, arguments, folder, environment):
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def write_app(folder, events):
    app = folder / "app"
    app.mkdir()
    shutil.copy(APP, app)
    (app / "pyproject.toml").write_text(PROJECT % json.dumps(str(events)), encoding="utf-8")
    return app


def read_events(events):
    lines = events.read_text(encoding="utf-8").split("\n")[:-1] if events.exists() else []
    return [json.loads(line) for line in lines]


def run_app(folder, environment):
    """Starts everything, waits for the app's end and returns its events."""
    link_io, fleet, control, *site_io = free_addresses(3 + SITES)
    apis = ["--serverappio-api-address", link_io, "--fleet-api-address", fleet, "--control-api-address", control]
    running = {"superlink": start("superlink", ["flower-superlink", "--insecure", *apis], folder, environment)}
    wait_until_listening(fleet, running["superlink"])
    wait_until_listening(control, running["superlink"])
    for site, address in enumerate(site_io):
        own = ["--superlink", fleet, "--clientappio-api-address", address]
        name = f"supernode-{site}"
        running[name] = start(name, ["flower-supernode", "--insecure", *own], folder, environment)
    (folder / "config.toml").write_text(CONNECTION % control, encoding="utf-8")
    events = folder / "events.jsonl"
    submitted = start("run", ["flwr", "run", str(write_app(folder, events)), "loopback"], folder, environment)
    if submitted.wait() != 0:
        raise RuntimeError("flwr run refused the app")
    while True:
        seen = read_events(events)
        if seen and seen[-1]["event"].startswith("failed"):
            raise RuntimeError(seen[-1]["event"])
        if seen and seen[-1]["event"] == "completed":
            return seen[:-1]
        ended = [name for name, process in running.items() if process.poll() is not None]
        if ended:
            raise RuntimeError(f"{ended} ended before the run")
        time.sleep(POLL_SECONDS)


def main():
    with bounded_run(SECONDS_MAX) as (folder, environment):
        private = {
            "FLWR_HOME": str(folder),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }
        events = run_app(folder, {**environment, **private})
    began = [each["at"] for each in events if each["event"] == "train"]
    trained = [each["at"] for each in events if each["event"] == "evaluate"]
    result = {
        "version": importlib.metadata.version("flwr"),
        "roundSeconds": [end - begin for begin, end in zip(began, trained)],
        "roundWithEvaluationSeconds": [end - begin for begin, end in zip(began, began[1:])],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
