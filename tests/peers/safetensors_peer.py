"""Reads one safetensors file and writes another with the package of the format's authors. Bytes travel as hexadecimal."""

import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}

question = json.load(sys.stdin)

with safe_open(question["read"], framework="numpy") as opened:
    metadata = opened.metadata()
found = {
    name: {"dtype": array.dtype.str, "shape": array.shape, "bytes": array.tobytes().hex()}
    for name, array in load_file(question["read"]).items()
}

wanted = {
    name: np.frombuffer(bytes.fromhex(tensor["bytes"]), dtype=DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    for name, tensor in question["tensors"].items()
}
save_file(wanted, question["write"], metadata={"made by": "python"})
print(json.dumps({"tensors": found, "metadata": metadata}))
