"""Reads a question as JSON: what kind of object of ours a file holds. Answers what pydicom and highdicom read in it."""

import json
import sys

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


question = json.load(sys.stdin)
answers = {"image": image, "document": document}
json.dump(answers[question["kind"]](pydicom.dcmread(question["file"])), sys.stdout, default=np.ndarray.tolist)
