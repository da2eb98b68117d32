"""Flower's own strategy classes over the rounds in the question; answers weights, m and v after each round, in float64."""

import json
import sys

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAdagrad, FedAdam, FedAvg, FedYogi


def result(weights, row_count):
    return FitRes(
        status=Status(code=Code.OK, message=""),
        parameters=ndarrays_to_parameters([weights]),
        num_examples=row_count,
        metrics={},
    )


def strategy_of(kind, initial, options):
    start = ndarrays_to_parameters([initial])
    if kind == "fedavg":
        return FedAvg(initial_parameters=start)
    rates = {"eta": options["serverLearningRate"], "tau": options["tau"]}
    if kind == "fedadagrad":
        return FedAdagrad(initial_parameters=start, **rates)
    moments = {"beta_1": options["beta1"], "beta_2": options["beta2"]}
    return {"fedadam": FedAdam, "fedyogi": FedYogi}[kind](initial_parameters=start, **rates, **moments)


def state_of(strategy, name):
    held = getattr(strategy, name, None)
    return held[0].tolist() if held else []


def run(kind, question):
    weights = np.array(question["initial"])
    strategy = strategy_of(kind, weights, question["options"])
    rounds = []
    for number, updates in enumerate(question["rounds"], start=1):
        sent = [
            (None, result(weights + np.array(update), row_count))
            for update, row_count in zip(updates, question["rowCounts"])
        ]
        aggregated, _ = strategy.aggregate_fit(number, sent, [])
        weights = parameters_to_ndarrays(aggregated)[0]
        rounds.append({"weights": weights.tolist(), "m": state_of(strategy, "m_t"), "v": state_of(strategy, "v_t")})
    return rounds


question = json.load(sys.stdin)
print(json.dumps({kind: run(kind, question) for kind in ("fedavg", "fedadam", "fedyogi", "fedadagrad")}))
