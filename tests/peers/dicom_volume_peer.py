"""Reads a question as JSON: a NIfTI file of ours, one that dcm2niix made of the same slices, and one of the slices. Answers how far
ours is from theirs, voxel by voxel at the same place in the patient, and from nibabel's own reading of the slice."""

import json
import sys

import nibabel
import numpy as np
from nibabel.nicom.dicomwrappers import wrapper_from_file

question = json.load(sys.stdin)
ours = nibabel.load(question["ours"])
theirs = nibabel.load(question["theirs"])

to_ours = np.linalg.inv(ours.affine) @ theirs.affine
indices = np.indices(theirs.shape).reshape(3, -1)
found = (to_ours @ np.vstack([indices, np.ones(indices.shape[1])]))[:3]
nearest = np.rint(found).astype(int)
values = ours.get_fdata()[tuple(nearest)]

slice_affine = wrapper_from_file(question["slice"]).affine  # LPS, and its first index is the row
to_ras = np.diag([-1, -1, 1, 1])
json.dump(
    {
        "shape": list(ours.shape),
        "type": str(ours.get_data_dtype()),
        "zooms": [float(zoom) for zoom in ours.header.get_zooms()],
        "distance": float(np.abs(found - nearest).max()),
        "difference": float(np.abs(values - theirs.get_fdata().reshape(-1)).max()),
        "distinct": int(np.unique(values).size),
        "qform": float(np.abs(ours.get_qform() - ours.get_sform()).max()),
        "inPlane": float(np.abs((to_ras @ slice_affine)[:, [1, 0]] - ours.affine[:, :2]).max()),
    },
    sys.stdout,
)
