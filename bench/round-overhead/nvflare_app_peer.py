"""What nvflare_peer.py gives to NVFLARE: the client's script and a clock beside the server's controller.

A client adds one to the fourteen numbers that it received, so that after round r every number must be r: a proof that the
measured exchange took place.
"""

import json
import time

from nvflare.apis.fl_component import FLComponent
from nvflare.app_common.app_event_type import AppEventType


class RoundClock(FLComponent):
    """Writes one JSON line whenever a round starts."""

    def __init__(self, events_path):
        super().__init__()
        self.events_path = events_path

    def handle_event(self, event_type, fl_ctx):
        if event_type == AppEventType.ROUND_STARTED:
            with open(self.events_path, "a", encoding="utf-8") as events:
                print(json.dumps({"event": "round started", "at": time.monotonic()}), file=events)


def train():
    import nvflare.client as flare

    flare.init()
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        params = {name: values + 1 for name, values in received.params.items()}
        flare.send(flare.FLModel(params=params))


if __name__ == "__main__":
    train()
