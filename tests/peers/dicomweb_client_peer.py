"""Reads a question as JSON: where our DICOMweb is, and files. Stores the files by dicomweb-client, retrieves them in every way that
it knows, and answers what it got."""

import hashlib
import io
import json
import sys
import warnings

import numpy as np
from dicomweb_client.web import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

warnings.simplefilter("ignore")
question = json.load(sys.stdin)
client = DICOMwebClient(question["url"], headers={"Authorization": "Bearer " + question["token"]})


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def about(path):
    """One file: stored, and retrieved as object, metadata, frames, bulk data and pictures."""
    data = dcmread(path)
    report = client.store_instances([data])
    uids = (data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID)
    answer = {
        "stored": [item.ReferencedSOPInstanceUID == data.SOPInstanceUID for item in report.ReferencedSOPSequence],
        "failed": len(report.get("FailedSOPSequence", [])),
    }
    as_it_is = client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
    answer["transferSyntax"] = as_it_is.file_meta.TransferSyntaxUID
    answer["sameElements"] = as_it_is == data
    decoded = client.retrieve_instance(*uids, media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
    answer["decodedSyntax"] = decoded.file_meta.TransferSyntaxUID
    metadata = Dataset.from_json(client.retrieve_instance_metadata(*uids), bulk_data_uri_handler=lambda *_: None)
    answer["patientName"] = str(metadata.PatientName)
    answer["studies"] = len(client.retrieve_study(uids[0]))
    answer["series"] = len(client.retrieve_series(uids[0], uids[1]))
    answer["studyMetadata"] = len(client.retrieve_study_metadata(uids[0]))
    if "PixelData" not in data:
        return answer
    frames = client.retrieve_instance_frames(*uids, frame_numbers=[1], media_types=("application/octet-stream",))
    answer["framesAreThoseOfTheObject"] = frames[0] == decoded.PixelData[: len(frames[0])]
    values = np.frombuffer(frames[0], dtype=f"{'<i' if data.PixelRepresentation else '<u'}{data.BitsAllocated // 8}")
    answer["sha256_int32le"] = sha256(np.ascontiguousarray(values, dtype="<i4").tobytes())
    uri = client.retrieve_instance_metadata(*uids)["7FE00010"]["BulkDataURI"]
    bulk = client.retrieve_bulkdata(uri, media_types=("application/octet-stream",))
    answer["bulkDataIsTheFrame"] = len(bulk) == 1 and bulk[0] == frames[0]
    for media_type in ("image/png", "image/jpeg"):
        picture = client.retrieve_instance_rendered(*uids, media_types=(media_type,))
        answer[media_type] = list(Image.open(io.BytesIO(picture)).size)
    of_frame = client.retrieve_instance_frames_rendered(*uids, frame_numbers=[1], media_types=("image/png",))
    answer["renderedFrame"] = list(Image.open(io.BytesIO(of_frame)).size)
    return answer


json.dump([about(path) for path in question["files"]], sys.stdout)
