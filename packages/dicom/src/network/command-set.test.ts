import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DicomError, type DicomErrorCode } from '../dicom-error.ts';
import { type Command, decodeCommand, encodeCommand, isRequest, isResponse, responseName } from './command-set.ts';

/** C-ECHO-RQ and its answer between echoscu and storescp of DCMTK 3.6.7. */
const DCMTK_ECHO =
  '00000000040000003800000000000200120000 00312e322e3834302e31303030382e312e31000000000102000000300000001001020000000100000000080200 00000101';
const DCMTK_ECHO_ANSWER =
  '0000000004000000420000000000020012000000312e322e3834302e31303030382e312e310000000001020000003080000020010200000001000000000802000000010100000009020000000000';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const fails = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

describe('a command set', () => {
  test('of DCMTK is understood, and written byte for byte as DCMTK writes it', () => {
    const echo: Command = { name: 'C-ECHO-RQ', AffectedSOPClassUID: '1.2.840.10008.1.1', MessageID: 1 };
    assert.deepEqual(decodeCommand(bytes(DCMTK_ECHO)), { command: echo, hasDataSet: false });
    assert.deepEqual(encodeCommand(echo, false), bytes(DCMTK_ECHO));
    const answer: Command = {
      name: 'C-ECHO-RSP',
      AffectedSOPClassUID: '1.2.840.10008.1.1',
      MessageIDBeingRespondedTo: 1,
      Status: 0,
    };
    assert.deepEqual(decodeCommand(bytes(DCMTK_ECHO_ANSWER)), { command: answer, hasDataSet: false });
    assert.deepEqual(encodeCommand(answer, false), bytes(DCMTK_ECHO_ANSWER));
  });

  test('of every kind is read as it was written', () => {
    const commands: Command[] = [
      {
        name: 'C-STORE-RQ',
        MessageID: 65535,
        AffectedSOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
        AffectedSOPInstanceUID: '1.2.3',
        Priority: 2,
        MoveOriginatorApplicationEntityTitle: 'PACS',
        MoveOriginatorMessageID: 7,
      },
      { name: 'C-CANCEL-RQ', MessageIDBeingRespondedTo: 3 },
      { name: 'C-MOVE-RQ', MessageID: 4, AffectedSOPClassUID: '1.2', MoveDestination: 'WORKSTATION' },
      {
        name: 'C-MOVE-RSP',
        MessageIDBeingRespondedTo: 4,
        Status: 0xb000,
        NumberOfRemainingSuboperations: 1,
        NumberOfCompletedSuboperations: 2,
        NumberOfFailedSuboperations: 3,
        NumberOfWarningSuboperations: 4,
      },
      {
        name: 'N-ACTION-RQ',
        MessageID: 5,
        RequestedSOPClassUID: '1.2',
        RequestedSOPInstanceUID: '1.2.1',
        ActionTypeID: 1,
      },
      {
        name: 'N-EVENT-REPORT-RQ',
        MessageID: 6,
        AffectedSOPClassUID: '1.2',
        AffectedSOPInstanceUID: '1.3',
        EventTypeID: 2,
      },
      {
        name: 'C-STORE-RSP',
        MessageIDBeingRespondedTo: 9,
        Status: 0xc000,
        OffendingElement: [0x00100010, 0x7fe00010],
        ErrorComment: 'Cannot be read',
      },
      { name: 'N-GET-RQ', MessageID: 11 },
    ];
    for (const command of commands) {
      assert.deepEqual(decodeCommand(encodeCommand(command, true)), { command, hasDataSet: true });
    }
  });

  test('says which of request and answer it is, and an answer has the name of its request', () => {
    assert.ok(isRequest({ name: 'C-ECHO-RQ', MessageID: 1 }));
    assert.ok(!isRequest({ name: 'C-CANCEL-RQ', MessageIDBeingRespondedTo: 1 }));
    assert.ok(isResponse({ name: 'C-FIND-RSP', MessageIDBeingRespondedTo: 1, Status: 0 }));
    assert.equal(responseName('N-EVENT-REPORT-RQ'), 'N-EVENT-REPORT-RSP');
    assert.equal(responseName('N-DELETE-RQ'), 'N-DELETE-RSP');
  });

  test('that lacks what its kind must have, or is of no kind, is refused', () => {
    const store = encodeCommand(
      { name: 'C-STORE-RQ', MessageID: 1, AffectedSOPClassUID: '1.2', AffectedSOPInstanceUID: '1.3' },
      true,
    );
    const at = store.lastIndexOf(bytes('0000 0010')); // (0000,1000) AffectedSOPInstanceUID
    assert.throws(() => decodeCommand(store.subarray(0, at)), fails('malformed'));
    const unknown = bytes(DCMTK_ECHO);
    unknown.writeUInt16LE(0x7777, unknown.lastIndexOf(bytes('3000')));
    assert.throws(() => decodeCommand(unknown), fails('malformed'));
  });

  test('that is cut anywhere, or holds another group, is refused', () => {
    const echo = bytes(DCMTK_ECHO);
    for (let length = 1; length < 46; length += 1) {
      assert.throws(() => decodeCommand(echo.subarray(0, length)), DicomError, `cut to ${length}`);
    }
    assert.throws(() => decodeCommand(bytes('0800050000000000')), fails('malformed'));
  });

  test('has comments of at most 64 characters', () => {
    const command: Command = {
      name: 'C-ECHO-RSP',
      MessageIDBeingRespondedTo: 1,
      Status: 1,
      ErrorComment: 'x'.repeat(100),
    };
    const { command: read } = decodeCommand(encodeCommand(command, false));
    assert.equal(read.ErrorComment, 'x'.repeat(64));
  });
});
