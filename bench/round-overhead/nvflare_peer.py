"""The peer of bench/round-overhead/run.ts: NVFLARE's simulator with four clients, its own FedAvg and NumPy recipe.

Its last line on standard output is {"version", "roundSeconds"}: seconds from the start of one round to the start of the next, as
the server sees them, without the first. A round there is model down, update up, mean taken and saved, as ours are.
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

from bounded_peer import bounded_run

ROUNDS = 6
ROUNDS_STARTING = 1  # in the first round the clients' processes are still starting
SITES = 4
PARAMETER_COUNT = 14
SECONDS_MAX = 230
APP = Path(__file__).with_name("nvflare_app_peer.py")
LOOPBACK = Path(__file__).with_name("loopback_peer.py")


def simulate(folder):
    """Runs the job to its end, in this process and those that the simulator starts."""
    from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
    from nvflare.recipe.sim_env import SimEnv
    from nvflare_app_peer import RoundClock

    recipe = NumpyFedAvgRecipe(
        name="round-overhead",
        model=[0.0] * PARAMETER_COUNT,
        min_clients=SITES,
        num_rounds=ROUNDS,
        train_script=str(APP),
    )
    recipe.job.to_server(RoundClock(str(folder / "events.jsonl")), id="round_clock")
    recipe.execute(SimEnv(num_clients=SITES, num_threads=SITES, workspace_root=str(folder / "workspace")))


def check_model(folder):
    import numpy as np

    saved = list((folder / "workspace").rglob("server.npy"))
    if len(saved) != 1:
        raise RuntimeError(f"{len(saved)} models were saved")
    weights = np.load(saved[0])
    if not np.array_equal(weights, np.full(PARAMETER_COUNT, ROUNDS, dtype=weights.dtype)):
        raise RuntimeError(f"after {ROUNDS} rounds the mean is {weights}")


def main():
    with bounded_run(SECONDS_MAX) as (folder, environment):
        start_up = folder / "start-up"
        start_up.mkdir()
        shutil.copy(LOOPBACK, start_up / "sitecustomize.py")
        # In a process of its own, so that the simulator's environment and output are not those of this one.
        with open(folder / "simulator.log", "wb") as log:
            subprocess.run(
                [sys.executable, __file__, str(folder)],
                cwd=folder,
                env={**environment, "PYTHONPATH": str(start_up)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        check_model(folder)
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    started = [event["at"] for event in events if event["event"] == "round started"]
    if len(started) != ROUNDS:
        raise RuntimeError(f"{len(started)} rounds of {ROUNDS} were seen")
    seconds = [end - begin for begin, end in zip(started, started[1:])][ROUNDS_STARTING:]
    print(json.dumps({"version": importlib.metadata.version("nvflare"), "roundSeconds": seconds}))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        simulate(Path(sys.argv[1]))
    else:
        main()
