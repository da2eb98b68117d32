"""Reads a question as JSON: what kind of object of ours a file holds. Answers what pydicom and highdicom read in it."""

import hashlib
import json
import sys

import highdicom
import numpy as np
import pydicom


def image(dataset):
    return {"shape": list(dataset.pixel_array.shape), "values": dataset.pixel_array.reshape(-1).tolist()}


def document(dataset):
    return {
        "title": dataset.DocumentTitle,
        "patient": str(dataset.PatientName),
        "length": dataset.EncapsulatedDocumentLength,
    }


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).hexdigest()


def on_slices(segmentation, origins):
    """[slices, rows, columns, segments], as stored."""
    options = {"assert_missing_frames_are_empty": True, "rescale_fractional": False}
    uids = [origin["sopInstanceUid"] for origin in origins]
    if len(set(uids)) == len(uids):
        return segmentation.get_pixels_by_source_instance(uids, **options)
    frames = [origin["frameIndex"] + 1 for origin in origins]
    return segmentation.get_pixels_by_source_frame(uids[0], frames, **options)


def segmentation(dataset):
    found = highdicom.seg.Segmentation.from_dataset(dataset)
    arrays = on_slices(found, question["origins"])
    descriptions = [found.get_segment_description(number) for number in found.segment_numbers]
    return {
        "digests": [digest(arrays[..., index]) for index in range(arrays.shape[-1])],
        "counts": [int(np.count_nonzero(arrays[..., index])) for index in range(arrays.shape[-1])],
        "segments": [
            {
                "number": one.segment_number,
                "label": one.segment_label,
                "category": one.segmented_property_category.value,
                "type": one.segmented_property_type.value,
                "algorithm": [one.algorithm_type.value, one.algorithm_identification.name, one.algorithm_identification.version],
                "tracking": [one.tracking_id, one.tracking_uid],
            }
            for one in descriptions
        ],
    }


def volume(dataset):
    """Where our volume of a segment has each voxel, by our affine, that highdicom has at that place."""
    found = highdicom.seg.Segmentation.from_dataset(dataset)
    theirs = found.get_volume(segment_numbers=[question["segment"]], rescale_fractional=False)
    array = theirs.array[..., 0]  # [slice, row, column]
    ours = np.fromfile(question["values"], dtype=np.uint8).reshape(question["shape"])
    indices = np.indices(array.shape).reshape(3, -1)
    lps = theirs.affine @ np.vstack([indices, np.ones(indices.shape[1])])
    place = np.linalg.inv(np.array(question["affine"])) @ np.diag([-1, -1, 1, 1]) @ lps
    nearest = np.rint(place[:3]).astype(int)
    return {
        "distance": float(np.abs(place[:3] - nearest).max()),
        "different": int(np.count_nonzero(ours[tuple(nearest[::-1])] != array.reshape(-1))),
        "size": [int(array.size), int(ours.size)],
        "count": int(np.count_nonzero(array)),
    }


question = json.load(sys.stdin)
answers = {"image": image, "document": document, "segmentation": segmentation, "volume": volume}
json.dump(answers[question["kind"]](pydicom.dcmread(question["file"])), sys.stdout)
