import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { acceptable, bulkDataIsMultipart, frameForm, objectForm, pictureForm } from './negotiation.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';
const BIG_ENDIAN = '1.2.840.10008.1.2.2';
const JPEG_BASELINE = '1.2.840.10008.1.2.4.50';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const JPEG_LS = '1.2.840.10008.1.2.4.80';
const JPEG_2000 = '1.2.840.10008.1.2.4.90';
const RLE = '1.2.840.10008.1.2.5';
const MPEG4 = '1.2.840.10008.1.2.4.102';

const dicom = (transferSyntax?: string) =>
  `multipart/related; type="application/dicom"${transferSyntax === undefined ? '' : `; transfer-syntax=${transferSyntax}`}`;
const refused = { code: 'input.not-acceptable' };

describe('DICOM objects', () => {
  const form = (accept: string | undefined, ...own: string[]) => objectForm(acceptable(undefined, accept), own);

  it('come in parts and in explicit little endian where nothing else is said', () => {
    const expected = { isMultipart: true, transferSyntaxes: [EXPLICIT] };
    for (const accept of [undefined, '', '*/*', 'multipart/related', 'multipart/*', dicom(), 'text/html, */*;q=0.1']) {
      for (const own of [EXPLICIT, IMPLICIT, BIG_ENDIAN, RLE])
        assert.deepEqual(form(accept, own), expected, `${accept} ${own}`);
    }
  });

  it('come as they are where any transfer syntax is accepted, but never implicit or big endian', () => {
    const own = [EXPLICIT, RLE, MPEG4, IMPLICIT, BIG_ENDIAN];
    assert.deepEqual(form(dicom('*'), ...own), {
      isMultipart: true,
      transferSyntaxes: [EXPLICIT, RLE, MPEG4, EXPLICIT, EXPLICIT],
    });
    assert.throws(() => form(dicom(IMPLICIT), IMPLICIT), refused);
    assert.throws(() => form(dicom(BIG_ENDIAN), EXPLICIT), refused);
  });

  it('come in the most wanted transfer syntax that each can be brought to', () => {
    const accept = `${dicom(JPEG_2000)}, ${dicom(MPEG4)};q=0.9, ${dicom()};q=0.5`;
    assert.deepEqual(form(accept, RLE, MPEG4, EXPLICIT).transferSyntaxes, [JPEG_2000, MPEG4, JPEG_2000]);
    assert.deepEqual(form(dicom(EXPLICIT), RLE, MPEG4).transferSyntaxes, [EXPLICIT, undefined]);
  });

  it('come as they are where nothing is said of a transfer syntax and we cannot decode them', () => {
    assert.deepEqual(form(dicom(), RLE, MPEG4).transferSyntaxes, [EXPLICIT, MPEG4]);
    assert.deepEqual(form('application/dicom', MPEG4), { isMultipart: false, transferSyntaxes: [MPEG4] });
  });

  it('are refused where there is no codec, or no such media type', () => {
    for (const accept of [dicom(EXPLICIT), dicom(JPEG_2000), dicom('nonsense')])
      assert.throws(() => form(accept, MPEG4), refused);
    assert.throws(() => form(dicom(MPEG4), EXPLICIT), refused);
    assert.throws(() => form('application/zip', EXPLICIT), refused);
    assert.throws(() => form('multipart/related; type="application/octet-stream"', EXPLICIT), refused);
  });

  it('come alone where there is one and it is asked for alone', () => {
    assert.deepEqual(form('application/dicom', RLE), { isMultipart: false, transferSyntaxes: [EXPLICIT] });
    assert.deepEqual(form('application/dicom; transfer-syntax=*', RLE), {
      isMultipart: false,
      transferSyntaxes: [RLE],
    });
    assert.throws(() => form('application/dicom', RLE, RLE), refused);
    assert.equal(form(`application/dicom, ${dicom()};q=0.5`, RLE, RLE).isMultipart, true);
  });

  it('come as the query parameter says, whatever the header', () => {
    const types = acceptable('application/dicom; transfer-syntax=*', dicom());
    assert.deepEqual(objectForm(types, [RLE]), { isMultipart: false, transferSyntaxes: [RLE] });
  });
});

describe('frames', () => {
  const form = (accept: string | undefined, own: string, frameCount = 2) =>
    frameForm(acceptable(undefined, accept), own, frameCount);
  const parts = (type: string, transferSyntax?: string) =>
    `multipart/related; type="${type}"${transferSyntax === undefined ? '' : `; transfer-syntax=${transferSyntax}`}`;
  const multipart = (type: string, transferSyntax: string) => ({ isMultipart: true, type, transferSyntax });

  it('come decoded where nothing is said, and as they are where anything is accepted', () => {
    for (const own of [EXPLICIT, IMPLICIT, RLE, JPEG_2000]) {
      assert.deepEqual(form(undefined, own), multipart('application/octet-stream', EXPLICIT));
    }
    assert.deepEqual(form(parts('application/octet-stream', '*'), RLE), multipart('application/octet-stream', RLE));
    assert.deepEqual(
      form(parts('application/octet-stream', '*'), IMPLICIT),
      multipart('application/octet-stream', EXPLICIT),
    );
  });

  it('come compressed in the usual transfer syntax of a media type, in the one that is named, or in their own', () => {
    assert.deepEqual(form(parts('image/jp2'), EXPLICIT), multipart('image/jp2', JPEG_2000));
    assert.deepEqual(form(parts('image/jpeg'), EXPLICIT), multipart('image/jpeg', JPEG_LOSSLESS));
    assert.deepEqual(form(parts('image/jpeg', JPEG_BASELINE), JPEG_BASELINE), multipart('image/jpeg', JPEG_BASELINE));
    assert.deepEqual(form(parts('image/jpeg', '*'), JPEG_BASELINE), multipart('image/jpeg', JPEG_BASELINE));
    assert.deepEqual(form(parts('image/jls', '*'), RLE), multipart('image/jls', JPEG_LS));
    assert.deepEqual(form(parts('image/*'), JPEG_2000), multipart('image/jp2', JPEG_2000));
  });

  it('are refused where a codec is missing or the transfer syntax is not one of the media type', () => {
    assert.throws(() => form(undefined, MPEG4), refused);
    assert.throws(() => form(parts('image/jpeg', JPEG_BASELINE), EXPLICIT), refused); // nothing is compressed with loss
    assert.throws(() => form(parts('image/jp2', RLE), EXPLICIT), refused);
    assert.throws(() => form('text/html', EXPLICIT), refused);
  });

  it('come alone where one is asked for', () => {
    assert.deepEqual(form('image/jls', EXPLICIT, 1), {
      isMultipart: false,
      type: 'image/jls',
      transferSyntax: JPEG_LS,
    });
    assert.throws(() => form('image/jls', EXPLICIT, 2), refused);
  });
});

describe('pictures and bulk data', () => {
  it('come in the first form that is known', () => {
    const picture = (accept: string) => pictureForm(acceptable(undefined, accept));
    assert.deepEqual(picture('*/*'), { isMultipart: false, format: 'jpeg' });
    assert.deepEqual(picture('image/gif, image/png, image/jpeg'), { isMultipart: false, format: 'png' });
    assert.deepEqual(picture('multipart/related; type="image/png"'), { isMultipart: true, format: 'png' });
    assert.throws(() => picture('image/gif'), refused);
    assert.equal(
      bulkDataIsMultipart(acceptable(undefined, 'multipart/related; type="application/octet-stream"')),
      true,
    );
    assert.equal(bulkDataIsMultipart(acceptable(undefined, undefined)), false);
    assert.throws(() => bulkDataIsMultipart(acceptable(undefined, 'image/jpeg')), refused);
  });
});
