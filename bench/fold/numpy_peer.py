"""The peer of bench/fold/run.ts: NumPy folding the same updates, in the ways one would write it.

Answers each line on standard input with one JSON line: for each form ("memory", "files") and each way of writing it,
milliseconds of one run as [wall, processor], and the CRC-32 of the sum that the last way left. Ways that finish early are as
fast as NumPy gets on one core; the caller takes the best of each form. Files are opened or mapped anew in each run, as the
fold of a round does.
"""

import json
import mmap
import sys
import time
import zlib

import numpy as np

elements, paths = int(sys.argv[1]), sys.argv[2:]
count = len(paths)
updates = [np.fromfile(path, dtype=np.float32) for path in paths]
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


def fold_blocks(sources, size):
    product = np.empty(size, dtype=np.float32)
    for start in range(0, elements, size):
        part = total[start : start + size]
        held = product[: part.size]
        np.multiply(sources[0][start : start + size], weights[0], out=part)
        for source, weight in zip(sources[1:], weights[1:]):
            np.multiply(source[start : start + size], weight, out=held)
            np.add(part, held, out=part)


def mapped(size):
    fold_blocks([np.memmap(path, dtype=np.float32, mode="r") for path in paths], size)


def mapped_at_once(size):
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    sources = []
    for path in paths:
        with open(path, "rb") as file:
            pages = mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
            sources.append(np.frombuffer(pages, dtype=np.float32))
    fold_blocks(sources, size)


def read_into(size):
    files = [open(path, "rb", buffering=0) for path in paths]
    block = np.empty(size, dtype=np.float32)
    for start in range(0, elements, size):
        part = total[start : start + size]
        held = block[: part.size]
        for k, file in enumerate(files):
            file.readinto(held)
            np.multiply(held, weights[k], out=part if k == 0 else held)
            if k > 0:
                np.add(part, held, out=part)
    for file in files:
        file.close()


def ways(function, name, sizes):
    return {f"{name}, blocks of {size}": lambda size=size: function(size) for size in sizes}


SIZES = (32768, 65536, 131072, 262144)
forms = {
    "memory": {
        "a += w * x": plain,
        "multiply and add with out=": with_out,
        **ways(lambda size: fold_blocks(updates, size), "out=", SIZES),
    },
    "files": {
        **ways(mapped, "memmap", SIZES[:3]),
        **ways(mapped_at_once, "mmap MAP_POPULATE", SIZES[:3]),
        **ways(read_into, "readinto", SIZES[1:2]),
    },
}


def timed(run):
    begin, begin_cpu = time.perf_counter(), time.process_time()
    run()
    return [(time.perf_counter() - begin) * 1000, (time.process_time() - begin_cpu) * 1000]


print(json.dumps({"ready": True, "numpy": np.__version__}), flush=True)
for _ in sys.stdin:
    times = {form: {name: timed(run) for name, run in each.items()} for form, each in forms.items()}
    print(json.dumps({**times, "crc": zlib.crc32(total)}), flush=True)
