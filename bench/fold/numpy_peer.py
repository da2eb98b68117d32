"""The peer of bench/fold/run.ts: NumPy folding the same updates, in the ways one would write it.

Answers each line on standard input with one JSON line: milliseconds of one run of each variant, as [wall, processor].
Variants that finish early are as fast as NumPy gets on one core; the caller takes the best of them.
"""

import json
import sys
import time

import numpy as np

count, elements = int(sys.argv[1]), int(sys.argv[2])
generator = np.random.default_rng(20)
updates = [generator.random(elements, dtype=np.float32) - np.float32(0.5) for _ in range(count)]
weights = [np.float32((k + 1) / (count * (count + 1) / 2)) for k in range(count)]
total = np.zeros(elements, dtype=np.float32)
whole = np.zeros(elements, dtype=np.float32)


def plain():
    total[:] = 0
    for update, weight in zip(updates, weights):
        total.__iadd__(weight * update)


def with_out():
    np.multiply(updates[0], weights[0], out=total)
    for update, weight in zip(updates[1:], weights[1:]):
        np.multiply(update, weight, out=whole)
        np.add(total, whole, out=total)


def blocked(size):
    product = np.empty(size, dtype=np.float32)

    def run():
        for start in range(0, elements, size):
            part = total[start : start + size]
            held = product[: part.size]
            np.multiply(updates[0][start : start + size], weights[0], out=part)
            for update, weight in zip(updates[1:], weights[1:]):
                np.multiply(update[start : start + size], weight, out=held)
                np.add(part, held, out=part)

    return run


variants = {"a += w * x": plain, "multiply and add with out=": with_out}
for size in (32768, 65536, 131072, 262144):
    variants[f"blocks of {size} with out="] = blocked(size)

print(json.dumps({"ready": True, "numpy": np.__version__}), flush=True)
for _ in sys.stdin:
    times = {}
    for name, run in variants.items():
        begin, begin_cpu = time.perf_counter(), time.process_time()
        run()
        times[name] = [(time.perf_counter() - begin) * 1000, (time.process_time() - begin_cpu) * 1000]
    print(json.dumps(times), flush=True)
