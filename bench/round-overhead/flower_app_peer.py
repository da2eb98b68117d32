"""The Flower app that flower_peer.py runs: FedAvg of fourteen numbers, without any training.

A client adds one to what it received, so that after round r every number must be r: a proof that the measured exchange took
place. The server writes one JSON line per event into the file that the run configuration names, as it happens.
"""

import json
import time

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

PARAMETER_COUNT = 14
SITE_COUNT = 4

client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
def train(message, _context):
    weights = message.content["arrays"].to_numpy_ndarrays()[0]
    content = RecordDict({"arrays": ArrayRecord([weights + 1]), "metrics": MetricRecord({"num-examples": 1})})
    return Message(content=content, reply_to=message)


@client_app.evaluate()
def evaluate(message, _context):
    return Message(content=RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)


class TimedFedAvg(FedAvg):
    def __init__(self, note):
        super().__init__(
            min_train_nodes=SITE_COUNT,
            min_evaluate_nodes=SITE_COUNT,
            min_available_nodes=SITE_COUNT,
        )
        self.note = note

    def configure_train(self, server_round, arrays, config, grid):
        # Before the first round this waits for the sites, which is not part of a round: so the time is taken after it.
        messages = super().configure_train(server_round, arrays, config, grid)
        self.note("train")
        return messages

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        answered = [reply for reply in replies if not reply.has_error()]
        if len(answered) != SITE_COUNT:
            raise RuntimeError(f"round {server_round}: {len(answered)} of {SITE_COUNT} sites answered")
        arrays, metrics = super().aggregate_train(server_round, replies)
        weights = arrays.to_numpy_ndarrays()[0]
        if not np.array_equal(weights, np.full(PARAMETER_COUNT, server_round, dtype=np.float32)):
            raise RuntimeError(f"round {server_round}: the mean is {weights}")
        self.note("evaluate")
        return arrays, metrics


@server_app.main()
def main(grid, context):
    with open(str(context.run_config["events"]), "a", encoding="utf-8", buffering=1) as events:

        def note(event):
            print(json.dumps({"event": event, "at": time.monotonic()}), file=events)

        try:
            TimedFedAvg(note).start(
                grid=grid,
                initial_arrays=ArrayRecord([np.zeros(PARAMETER_COUNT, dtype=np.float32)]),
                num_rounds=int(context.run_config["rounds"]),
            )
            note("train")  # the last round's end: here the next would begin
            note("completed")
        except Exception as error:
            note(f"failed: {error}")
            raise
