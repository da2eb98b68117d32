"""The peer of bench/deidentify/run.ts: pydicom doing the same actions, as one would write it.

    pydicom_peer.py memory|files IN OUT ACTIONS.json

ACTIONS.json maps tags to what our rules do with them in these objects (remove, empty, dummy, uid, shift, patient-id, patient-name,
keep), so that both do the same work; private elements, curves and overlays go. What pydicom is spared: looking for the patient's
identifiers in the texts that stay, and judging pixels. Each line on standard input is answered with milliseconds as
[clock, processor] of one run over all files of the folder, from bytes to bytes in memory or from file to file.
"""

import hmac
import io
import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pydicom

form, folder, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
actions = {int(tag, 16): action for tag, action in json.loads(Path(sys.argv[4]).read_text()).items()}
key = b"k" * 32
DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "PN": "Removed", "IS": "0", "DS": "0", "AS": "000Y"}
uids = {}


def new_uid(original):
    if original not in uids:
        uids[original] = f"2.25.{int.from_bytes(hmac.digest(key, str(original).encode(), 'sha256')[:16], 'big')}"
    return uids[original]


def shifted(text):
    moved = datetime.strptime(text[:8], "%Y%m%d") - timedelta(days=77)
    return moved.strftime("%Y%m%d") + text[8:]


def act(dataset, element):
    tag = element.tag
    group = tag.group
    if tag.is_private or 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF:
        del dataset[tag]
        return
    action = actions.get(int(tag), "keep")
    if action == "keep":
        return
    if action == "remove":
        del dataset[tag]
    elif action == "empty":
        element.value = [] if element.VR == "SQ" else ""
    elif action == "dummy":
        element.value = [] if element.VR == "SQ" else DUMMIES.get(element.VR, "REMOVED")
    elif action in ("patient-id", "patient-name"):
        element.value = "PSN" + hmac.digest(key, str(dataset.get("PatientID", "")).encode(), "sha256").hex()[:24]
    elif action == "uid" and element.VR == "UI":
        element.value = [new_uid(uid) for uid in element.value] if element.VM > 1 else new_uid(element.value)
    elif action == "shift" and element.VR in ("DA", "DT") and element.value:
        element.value = shifted(str(element.value))


def deidentify(source, output):
    dataset = pydicom.dcmread(source)
    dataset.walk(act)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.preamble = b"\0" * 128
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "pydicom"
    dataset.save_as(output)


files = sorted(folder.iterdir())
contents = [file.read_bytes() for file in files]
print(json.dumps({"pydicom": pydicom.__version__}), flush=True)
for _ in sys.stdin:
    uids.clear()
    clock, processor = time.perf_counter(), time.process_time()
    for file, content in zip(files, contents):
        if form == "memory":
            deidentify(io.BytesIO(content), io.BytesIO())
        else:
            deidentify(file, target / file.name)
    print(json.dumps([1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - processor)]), flush=True)
