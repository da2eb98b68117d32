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


FINDING_CATEGORY = highdicom.sr.CodedConcept("276214006", "SCT", "Finding category")


def concept(code):
    return [code.value, code.scheme_designator]


def reference(item):
    return [str(item.referenced_sop_instance_uid), item.referenced_frame_numbers or [], item.referenced_segment_numbers or []]


def group(one):
    return {
        "tracking": [one.tracking_identifier, str(one.tracking_uid)],
        "finding": concept(one.finding_type),
        "category": concept(one.finding_category),
        "sites": [[concept(site.value), concept(site.laterality)] for site in one.finding_sites],
        "measurements": [
            [
                concept(measurement.name),
                measurement.value,
                concept(measurement.unit),
                concept(measurement.derivation) if measurement.derivation is not None else None,
            ]
            for measurement in one.get_measurements()
        ],
        "evaluations": [
            [concept(evaluation.name), concept(evaluation.value)]
            for evaluation in one.get_qualitative_evaluations()
            if evaluation.name != FINDING_CATEGORY  # which highdicom counts among them
        ],
    }


def report(dataset):
    document = highdicom.sr.ComprehensiveSR.from_dataset(dataset)
    content = document.content
    [observer] = content.get_observer_contexts()
    [segment] = content.get_volumetric_roi_measurement_groups()
    [outline] = content.get_planar_roi_measurement_groups()
    [images] = content.get_image_measurement_groups()
    device = observer.observer_identifying_attributes
    return {
        "device": [str(device.uid), device.name, device.manufacturer_name, device.model_name, device.serial_number],
        "segment": {
            **group(segment),
            "reference": reference(segment.referenced_segment),
            "sources": [reference(image) for image in segment.referenced_segment.source_images_for_segmentation],
        },
        "outline": {
            **group(outline),
            "type": outline.roi.graphic_type.value,
            "points": outline.roi.value.tolist(),
            "reference": reference(highdicom.sr.ImageContentItem.from_dataset(outline.roi.ContentSequence[0])),
        },
        "images": {**group(images), "sources": [reference(image) for image in images.source_images]},
    }


def measurements(_):
    """Of a report of others: every number of every group, by the UID that the group is tracked by."""
    content = highdicom.sr.srread(question["file"]).content
    groups = [
        *content.get_volumetric_roi_measurement_groups(),
        *content.get_planar_roi_measurement_groups(),
        *content.get_image_measurement_groups(),
    ]
    return {
        str(one.tracking_uid): [
            [measurement.name.meaning, measurement.value, measurement.unit.value] for measurement in one.get_measurements()
        ]
        for one in groups
    }


question = json.load(sys.stdin)
answers = {"image": image, "document": document, "segmentation": segmentation, "volume": volume, "report": report, "measurements": measurements}
json.dump(answers[question["kind"]](pydicom.dcmread(question["file"])), sys.stdout)
