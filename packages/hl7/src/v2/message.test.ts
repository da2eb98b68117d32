import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Hl7Error, type Hl7ErrorCode } from '../hl7-error.ts';
import { readHeader } from './header.ts';
import { parseMessage, repetitionsOf, segmentsOf, textAt, valueAt } from './message.ts';
import { splitMessages } from './message-file.ts';

const MSH = 'MSH|^~\\&|LAB|NORTH|LANTERN|WARD|20260203||ORU^R01^ORU_R01|77|P|2.5.1';

function parsed(text: string, encoding: BufferEncoding = 'utf8') {
  return parseMessage(Buffer.from(text, encoding));
}

function refuses(bytes: Uint8Array, code: Hl7ErrorCode) {
  assert.throws(
    () => parseMessage(bytes),
    (caught) => caught instanceof Hl7Error && caught.code === code,
  );
}

/** OBX-5 of a message with this value, in the character set that MSH-18 names. */
function observed(value: string | Buffer, { declared = '' }: { declared?: string } = {}) {
  const head = Buffer.from(`${MSH}||||||${declared}\rOBX|1|ST|K||`);
  const message = parseMessage(Buffer.concat([head, Buffer.from(value), Buffer.from('|mmol\r')]));
  const [obx] = segmentsOf(message, 'OBX');
  assert.ok(obx !== undefined);
  return { value: valueAt(message, obx, { field: 5 }), unit: textAt(message, obx, { field: 6 }), message, obx };
}

describe('a message of HL7 v2', () => {
  it('numbers the fields of MSH from its separator on', () => {
    const header = readHeader(parsed(`${MSH}\r`));
    assert.deepEqual(
      [header.sendingApplication, header.receivingFacility, header.messageCode, header.triggerEvent, header.structure],
      ['LAB', 'WARD', 'ORU', 'R01', 'ORU_R01'],
    );
    assert.deepEqual([header.controlId, header.processingId, header.version], ['77', 'P', '2.5.1']);
  });

  it('takes the delimiters that it names itself', () => {
    const message = parsed('MSH:*~$%:A:B:C:D:::ADT*A01:5:P:2.3\rPID:::1*2%3*4~9');
    const [pid] = segmentsOf(message, 'PID');
    assert.ok(pid !== undefined);
    assert.equal(valueAt(message, pid, { field: 3, component: 2, subcomponent: 2 }), '3');
    assert.equal(valueAt(message, pid, { field: 3, repetition: 2 }), '9');
    assert.equal(valueAt(message, pid, { field: 3, component: 3 }), '4');
  });

  it('tells a value that is absent from one that is deleted', () => {
    const message = parsed(`${MSH}\rPID|||7||""|`);
    const [pid] = segmentsOf(message, 'PID');
    assert.ok(pid !== undefined);
    assert.deepEqual(
      [4, 5, 6, 7, 99].map((field) => valueAt(message, pid, { field })),
      [undefined, null, undefined, undefined, undefined],
    );
  });

  it('resolves escapes once, and keeps what is none', () => {
    const cases = [
      ['5\\S\\3 \\T\\ \\F\\\\R\\\\E\\n', '5^3 & |~\\n'],
      ['\\H\\high\\N\\ again', 'high again'],
      ['one\\.br\\two\\.sp2\\three\\.in+4\\', 'one\ntwo\n\nthree'],
      ['\\X4869\\!', 'Hi!'],
      ['\\Xzz\\', '\\Xzz\\'],
      ['C:\\temp', 'C:\\temp'],
      ['a\\Q\\F\\b', 'a\\Q|b'],
      ['\\E\\F\\E\\', '\\F\\'],
      ['\\', '\\'],
    ];
    for (const [raw = '', meant] of cases) assert.equal(observed(raw).value, meant, raw);
  });

  it('reads hexadecimal escapes in the character set of the message', () => {
    assert.equal(observed('\\XC3A4\\', { declared: 'UNICODE UTF-8' }).value, 'ä');
    assert.equal(observed('\\XE4\\', { declared: '8859/1' }).value, 'ä');
  });

  it('reads every character set that it declares', () => {
    const cases: [string, string, string][] = [
      ['UNICODE UTF-8', 'c3a4e282ac', 'ä€'],
      ['8859/1', 'e4', 'ä'],
      ['8859/2', 'b1', 'ą'],
      ['8859/5', 'd0', 'а'],
      ['8859/7', 'e1', 'α'],
      ['8859/9', 'fe', 'ş'],
      ['8859/15', 'a4', '€'],
      ['ISO IR87', '1b2442467c1b2842', '日'],
      ['GB 18030-2000', 'b9fa', '国'],
      ['KS X 1001', 'c7d1', '한'],
      ['BIG-5', 'b0ea', '國'],
      ['utf8', 'c3a4', 'ä'],
    ];
    for (const [declared, hex, meant] of cases) {
      assert.equal(observed(Buffer.from(hex, 'hex'), { declared }).value, meant, declared);
    }
  });

  it('reads what declares no character set as UTF-8 where it is that, else as Windows-1252, and says so', () => {
    const utf8 = observed(Buffer.from('Müller'));
    const latin = observed(Buffer.from('M\u00fcller', 'latin1'));
    assert.deepEqual([utf8.value, latin.value], ['Müller', 'Müller']);
    assert.deepEqual([utf8.message.characterSet.name, latin.message.characterSet.name], ['UNICODE UTF-8', '8859/1']);
    assert.equal(utf8.message.characterSet.isDeclared, false);
  });

  it('refuses bytes that are none of the declared character set, and sets that nobody knows', () => {
    const withSet = (declared: string, value: Buffer) =>
      Buffer.concat([Buffer.from(`${MSH}||||||${declared}\rOBX|1|ST|K||`), value]);
    refuses(withSet('UNICODE UTF-8', Buffer.from([0xe4])), 'encoding');
    refuses(withSet('ASCII', Buffer.from([0xe4])), 'encoding');
    refuses(withSet('UNICODE UTF-16', Buffer.from('x')), 'encoding');
  });

  it('ends segments at CR, CRLF, and at LF before another segment; any other LF is part of a value', () => {
    const names = (text: string) => parsed(text).segments.map(({ name }) => name);
    assert.deepEqual(names(`${MSH}\rPID|1\rPV1|1\r`), ['MSH', 'PID', 'PV1']);
    assert.deepEqual(names(`${MSH}\r\nPID|1\r\n\r\nPV1|1`), ['MSH', 'PID', 'PV1']);
    assert.deepEqual(names(`${MSH}\nPID|1\nPV1|1\n`), ['MSH', 'PID', 'PV1']);
    assert.equal(observed('first\nSECOND line\nthird').value, 'first\nSECOND line\nthird');
  });

  it('refuses what is no message, naming the rule and no value', () => {
    refuses(Buffer.from(''), 'malformed');
    refuses(Buffer.from('PID|1'), 'malformed');
    refuses(Buffer.from('MSH'), 'malformed');
    refuses(Buffer.from('MSHA^~\\&A'), 'malformed');
    refuses(Buffer.from('MSH|^^\\&|'), 'malformed');
    refuses(Buffer.from(`${MSH}\rSMITH JOHN`), 'malformed');
    refuses(Buffer.from(`${MSH}\r${MSH}`), 'malformed');
    refuses(Buffer.from(`${MSH}\rPID${'|'.repeat(2000)}`), 'limit');
  });

  it('keeps a repetition for every separator, also where it is empty', () => {
    const message = parsed(`${MSH}\rPID|||1~~3|`);
    const [pid] = segmentsOf(message, 'PID');
    assert.ok(pid !== undefined);
    assert.deepEqual(repetitionsOf(message, pid, 3), ['1', '', '3']);
    assert.deepEqual(repetitionsOf(message, pid, 4), []);
  });

  it('takes a segment of many megabytes', () => {
    const long = 'A'.repeat(20 * 1024 * 1024);
    assert.equal(observed(long).value?.length, long.length);
  });
});

describe('a file of messages', () => {
  it('comes apart with any line ends, framing or batch', () => {
    const two = [`${MSH}\rPID|1\r`, `${MSH}\rPID|2\r`];
    const files = [
      two.join(''),
      two.join('').replaceAll('\r', '\n'),
      `\ufeff${two.join('\n').replaceAll('\r', '\r\n')}`,
      `\u000b${two.join('\u001c\r\u000b')}\u001c\r`,
      `FHS|^~\\&|X\rBHS|^~\\&|X\r${two.join('')}BTS|2\rFTS|1\r`,
    ];
    for (const file of files) {
      const { messages, strayCount } = splitMessages(Buffer.from(file));
      assert.deepEqual([messages.map(String), strayCount], [two, 0]);
    }
  });

  it('keeps bytes as they are, and counts lines before the first message', () => {
    const content = Buffer.concat([Buffer.from(`exported today\n${MSH}\nPID|1|`), Buffer.from([0xe4, 0x0a])]);
    const { messages, strayCount } = splitMessages(content);
    assert.equal(strayCount, 1);
    assert.ok(messages[0]?.includes(0xe4));
    assert.deepEqual(splitMessages(Buffer.from('hello')).messages, []);
  });
});
