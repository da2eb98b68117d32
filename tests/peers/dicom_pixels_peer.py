"""Reads a question as JSON: files of ours. Answers what pydicom makes of each: stored values as a SHA-256, or how far a picture is
from its own."""

import hashlib
import json
import sys
import warnings

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array

warnings.simplefilter("ignore")


def stored(path):
    """As fixtures/dicom/pixels/README.md describes; colour transforms of JPEG 2000 undone, no other."""
    values = pixel_array(dcmread(path), raw=True)
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<i4").tobytes()).hexdigest()


def colours(path):
    """The first frame as RGB of eight bits."""
    data = dcmread(path)
    values = pixel_array(data, raw=True, index=0)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        looked_up = apply_color_lut(values, data)
        return (looked_up >> 8 if looked_up.max() > 255 else looked_up).astype("u1")
    if data.PhotometricInterpretation.startswith("YBR_FULL"):
        return convert_color_space(values, "YBR_FULL", "RGB")
    return values


def difference(ours, path):
    picture = np.asarray(Image.open(ours), dtype=int)
    return int(np.abs(picture - colours(path).astype(int)).max())


question = json.load(sys.stdin)
answer = {
    "stored": [stored(path) for path in question.get("stored", [])],
    "differences": [difference(*pair) for pair in question.get("pictures", [])],
}
json.dump(answer, sys.stdout)
