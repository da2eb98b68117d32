"""Makes the vectors of this folder with the toolkits the formats come from: see README.md for their versions."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from safetensors.numpy import save_file

out = str(Path(__file__).parent) + "/"

save_file({
  "layers.0.weight": np.array([[1.5, -2.25, 3.0], [0.1, 1e-30, -7e20]], dtype=np.float32),
  "layers.0.bias": np.array([0.5, -0.75], dtype=np.float32),
  "moment": np.array([1/3, -1e300], dtype=np.float64),
  "step": np.array(-9007199254740993, dtype=np.int64),
  "empty": np.zeros((0, 4), dtype=np.float32),
}, out + "mixed.safetensors", metadata={"made-by": "safetensors 0.8.0", "quote": "a \"b\" \u00e9"})
save_file({"half": np.array([1.0, -2.0], dtype=np.float16), "w": np.array([4.0], dtype=np.float32)}, out + "half.safetensors")

value = h.make_tensor_value_info
def save(name, graph, **kw):
    model = h.make_model(graph, opset_imports=kw.pop("opsets", [h.make_opsetid("", 17)]), ir_version=8, **kw)
    onnx.save(model, out + name)
x, p = value("x", T.FLOAT, ["rows", 2]), value("p", T.FLOAT, ["rows", 1])
weights = h.make_tensor("w", T.FLOAT, [2, 1], [0.5, -1.25])            # float_data, not raw
axes = h.make_tensor("axes", T.INT64, [1], [1])                         # int64_data
nodes = [
    h.make_node("MatMul", ["x", "w"], ["z"], name="first", doc_string="for people"),
    h.make_node("LeakyRelu", ["z"], ["a"], alpha=0.2),
    h.make_node("ReduceSum", ["a", "axes"], ["s"], keepdims=1),
    h.make_node("Concat", ["s", "z"], ["both"], axis=1),
    h.make_node("Transpose", ["both"], ["t"], perm=[1, 0]),
    h.make_node("Constant", [], ["half"], value=nh.from_array(np.array(0.5, dtype=np.float32))),
    h.make_node("Sigmoid", ["s"], ["p0"]),
    h.make_node("Mul", ["p0", "half"], ["p"]),
]
save("stranger.onnx", h.make_graph(nodes, "stranger", [x], [p], [weights, axes], doc_string="doc"), doc_string="d", producer_name="onnx")
double = h.make_tensor("d", T.DOUBLE, [2], [0.1, -1e300])
flags = h.make_tensor("b", T.BOOL, [3], [True, False, True])
ints = h.make_tensor("i", T.INT32, [2], [-7, 2**31 - 1])
save("typed-data.onnx", h.make_graph([h.make_node("Neg", ["d"], ["y"])], "typed", [], [value("y", T.DOUBLE, [2])], [double, flags, ints]))
loop_body = h.make_graph([h.make_node("Identity", ["c"], ["c2"])], "body", [value("n", T.INT64, []), value("c", T.BOOL, [])], [value("c2", T.BOOL, [])])
save("loop.onnx", h.make_graph([h.make_node("Loop", ["n0", "c0"], [], body=loop_body)], "loop", [value("n0", T.INT64, []), value("c0", T.BOOL, [])], [value("c0", T.BOOL, [])]))
external = h.make_tensor("e", T.FLOAT, [1], [1.0])
external.ClearField("float_data"); external.data_location = T.EXTERNAL
entry = external.external_data.add(); entry.key, entry.value = "location", "../secret.bin"
save("external.onnx", h.make_graph([h.make_node("Neg", ["e"], ["p"])], "external", [], [value("p", T.FLOAT, [1])], [external]))
f = h.make_function("mine", "Twice", ["a"], ["b"], [h.make_node("Add", ["a", "a"], ["b"])], [h.make_opsetid("", 17)])
save("function.onnx", h.make_graph([h.make_node("Twice", ["x"], ["p"], domain="mine")], "function", [x], [value("p", T.FLOAT, ["rows", 2])]), functions=[f], opsets=[h.make_opsetid("", 17), h.make_opsetid("mine", 1)])
