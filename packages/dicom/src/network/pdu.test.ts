import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DicomError, type DicomErrorCode } from '../dicom-error.ts';
import { type AssociateRequest, decodePdu, encodePdu, type Pdu } from './pdu.ts';

/** What echoscu of DCMTK 3.6.7 sent, and storescp answered, between the titles CALLING and CALLED. */
const HEAD = `0001000043414c4c45442020202020202020202043414c4c494e47202020202020202020${'00'.repeat(32)}`;
const CONTEXT_NAME = '10000015312e322e3834302e31303030382e332e312e312e31';
const DCMTK_USER =
  '5000003a51000004000040005200001b312e322e3237362e302e373233303031302e332e302e332e362e375500000f4f464649535f44434d544b5f333637';
const DCMTK_REQUEST = `0100000000cd${HEAD}${CONTEXT_NAME}2000002e0100ff0030000011312e322e3834302e31303030382e312e3140000011312e322e3834302e31303030382e312e32${DCMTK_USER}`;
const DCMTK_ACCEPT = `0200000000b8${HEAD}${CONTEXT_NAME}210000190100000040000011312e322e3834302e31303030382e312e32${DCMTK_USER}`;

const USER = {
  pduBytesMax: 16384,
  implementationClassUid: '1.2.276.0.7230010.3.0.3.6.7',
  implementationVersion: 'OFFIS_DCMTK_367',
  roles: [],
  others: [],
};
const TITLES = { calledAe: 'CALLED', callingAe: 'CALLING', applicationContext: '1.2.840.10008.3.1.1.1' };

const FULL_REQUEST: AssociateRequest = {
  type: 'associate-request',
  ...TITLES,
  contexts: [
    {
      id: 1,
      abstractSyntax: '1.2.840.10008.5.1.4.1.1.2',
      transferSyntaxes: ['1.2.840.10008.1.2.1', '1.2.840.10008.1.2'],
    },
    { id: 255, abstractSyntax: '1.2.3', transferSyntaxes: ['1.2.840.10008.1.2.4.70'] },
  ],
  user: {
    ...USER,
    asynchronousOperations: { invoked: 3, performed: 5 },
    roles: [
      { sopClass: '1.2.840.10008.5.1.4.1.1.2', scu: false, scp: true },
      { sopClass: '1.2.3', scu: true, scp: false },
    ],
    others: [{ type: 0x58, content: Buffer.from('0101000470657465', 'hex') }],
  },
};

function decode(bytes: Buffer): Pdu {
  return decodePdu(bytes.readUInt8(0), bytes.subarray(6));
}

const fails = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

/** The bytes of FULL_REQUEST after a change; a change of length needs those around it too, so most change a byte. */
function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = encodePdu(FULL_REQUEST);
  change(bytes);
  return bytes;
}

describe('a PDU', () => {
  test('of DCMTK is understood', () => {
    assert.deepEqual(decode(Buffer.from(DCMTK_REQUEST, 'hex')), {
      type: 'associate-request',
      ...TITLES,
      contexts: [{ id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] }],
      user: USER,
    });
    assert.deepEqual(decode(Buffer.from(DCMTK_ACCEPT, 'hex')), {
      type: 'associate-accept',
      ...TITLES,
      results: [{ id: 1, result: 0, transferSyntax: '1.2.840.10008.1.2' }],
      user: USER,
    });
  });

  test('is written byte for byte as DCMTK writes it, but for a reserved byte', () => {
    const request = decode(Buffer.from(DCMTK_REQUEST, 'hex'));
    assert.equal(encodePdu(request).toString('hex'), DCMTK_REQUEST.replace('0100ff0030', '0100000030'));
    assert.equal(encodePdu(decode(Buffer.from(DCMTK_ACCEPT, 'hex'))).toString('hex'), DCMTK_ACCEPT);
  });

  test('of any kind is read as it was written', () => {
    const pdus: Pdu[] = [
      FULL_REQUEST,
      {
        type: 'associate-accept',
        ...TITLES,
        results: [
          { id: 1, result: 0, transferSyntax: '1.2.840.10008.1.2.1' },
          { id: 3, result: 4, transferSyntax: '' },
        ],
        user: FULL_REQUEST.user,
      },
      { type: 'associate-reject', result: 2, source: 3, reason: 1 },
      { type: 'release-request' },
      { type: 'release-reply' },
      { type: 'abort', source: 2, reason: 6 },
    ];
    for (const pdu of pdus) assert.deepEqual(decode(encodePdu(pdu)), pdu);
  });

  test('that is cut anywhere is refused', () => {
    const whole = encodePdu(FULL_REQUEST);
    for (let length = 6; length < whole.byteLength; length += 1) {
      assert.throws(() => decode(whole.subarray(0, length)), fails('malformed'), `cut to ${length}`);
    }
  });

  test('with an even or a repeated presentation context id is refused', () => {
    const at = encodePdu(FULL_REQUEST).indexOf(Buffer.from([255, 0, 0, 0]));
    assert.throws(() => decode(changed((bytes) => bytes.writeUInt8(2, at))), fails('malformed'));
    assert.throws(() => decode(changed((bytes) => bytes.writeUInt8(1, at))), fails('malformed'));
    assert.doesNotThrow(() => decode(changed((bytes) => bytes.writeUInt8(3, at))));
  });

  test('with a UID that is none, of another protocol version, or with no context is refused', () => {
    const uid = encodePdu(FULL_REQUEST).indexOf('1.2.840.10008.3.1.1.1');
    assert.throws(() => decode(changed((bytes) => bytes.write('x', uid))), fails('malformed'));
    assert.throws(() => decode(changed((bytes) => bytes.writeUInt16BE(2, 6))), fails('malformed'));
    assert.doesNotThrow(() => decode(changed((bytes) => bytes.writeUInt16BE(3, 6))));
    assert.throws(() => decode(encodePdu({ ...FULL_REQUEST, contexts: [] })), fails('malformed'));
  });

  test('with more contexts or transfer syntaxes than there can be is refused', () => {
    const context = { id: 1, abstractSyntax: '1.2', transferSyntaxes: ['1.2.840.10008.1.2'] };
    const contexts = Array.from({ length: 129 }, () => context);
    assert.throws(() => decode(encodePdu({ ...FULL_REQUEST, contexts })), fails('limit'));
    const transferSyntaxes = Array.from({ length: 129 }, (_, index) => `1.2.${index}`);
    assert.throws(
      () => decode(encodePdu({ ...FULL_REQUEST, contexts: [{ ...context, transferSyntaxes }] })),
      fails('limit'),
    );
  });

  test('keeps only what can be printed of titles, and the first sixteen characters of a version', () => {
    const request = decode(changed((bytes) => bytes.write('A\0B\nC\u00e9  ', 10, 'latin1')));
    assert.ok(request.type === 'associate-request');
    assert.equal(request.calledAe, 'ABC');
    const long = decode(encodePdu({ ...FULL_REQUEST, user: { ...USER, implementationVersion: 'ABCDEFGHIJKLMNOPQR' } }));
    assert.ok(long.type === 'associate-request');
    assert.equal(long.user.implementationVersion, 'ABCDEFGHIJKLMNOP');
  });
});
