import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import {
  type DataSet,
  type DicomServer,
  type DimseHandlers,
  encodeDataSet,
  type Instance,
  instanceOfFile,
  openFileSource,
  type QueryRequest,
  queryIdentifier,
  readPart10,
  STATUS,
  startDicomServer,
  textOf,
  transferSyntaxOf,
} from '@lantern/dicom';
import { EXIT } from '../cli/exit-codes.ts';
import { runProgram } from '../cli/program.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const fixture = (name: string) => path.join(FIXTURES, name);

function sinkOf(text: Record<'out' | 'err', string>, key: 'out' | 'err') {
  return new Writable({
    write: (chunk, _, done) => {
      text[key] += String(chunk);
      done();
    },
  });
}

async function lantern(...args: string[]) {
  const text = { out: '', err: '' };
  const [stdout, stderr] = [sinkOf(text, 'out') as never, sinkOf(text, 'err') as never];
  const context = { env: {}, stdin: new PassThrough(), stdout, stderr, signal: new AbortController().signal };
  const code = await runProgram(['dicom', ...args], context);
  return { code, ...text, json: () => JSON.parse(text.out) };
}

/** An archive of the fixtures: answers hierarchical queries, and sends what they name, but for what it cannot read. */
type Held = {
  readonly file: string;
  readonly instance: Instance;
  readonly uids: readonly [string, string, string];
  readonly id: string;
};
const held: Held[] = [];
let unreadable = new Set<string>();
/** A file that the archive sends in the place of every other. */
let mistaken: string | undefined;
let destinationPort = 0;
let asked: string[] = [];
const received: string[] = [];
let storeStatuses: number[] = [];

function hold(name: string): Held {
  const file = fixture(name);
  const source = openFileSource(file);
  try {
    const { dataSet } = readPart10(source);
    const uids = [0x0020000d, 0x0020000e, 0x00080018].map((tag) => textOf(dataSet, tag) ?? '');
    const [study = '', series = '', instance = ''] = uids;
    const one: Held = {
      file,
      instance: instanceOfFile(file),
      uids: [study, series, instance],
      id: textOf(dataSet, 0x00100020) ?? '',
    };
    held.push(one);
    return one;
  } finally {
    source.close();
  }
}

function matching({ identifier }: QueryRequest): Held[] {
  const is = (tag: number, value: string) => (textOf(identifier, tag) ?? value) === value;
  const uids = JSON.stringify(identifier.elements.get(0x00080018)?.value.kind === 'bytes' ? textsOf(identifier) : []);
  return held.filter(
    ({ uids: [study, series, instance], id }) =>
      is(0x0020000d, study) &&
      is(0x0020000e, series) &&
      is(0x00100020, id) &&
      (uids === '[]' || uids.includes(instance)),
  );
}

function textsOf(identifier: DataSet): string[] {
  const value = identifier.elements.get(0x00080018)?.value;
  return value?.kind === 'bytes' && value.bytes.byteLength > 0
    ? value.bytes.toString('latin1').replaceAll('\0', '').split('\\')
    : [];
}

function* answers(request: QueryRequest): Generator<DataSet> {
  const level = textOf(request.identifier, 0x00080052);
  const seen = new Set<string>();
  for (const {
    uids: [study, series, sop],
    id,
    instance,
  } of matching(request)) {
    const uid = level === 'STUDY' ? study : level === 'SERIES' ? series : sop;
    if (seen.has(uid)) continue;
    seen.add(uid);
    const keys = [`PatientID=${id}`, `StudyInstanceUID=${study}`];
    if (level !== 'STUDY') keys.push(`SeriesInstanceUID=${series}`);
    if (level === 'IMAGE') keys.push(`SOPInstanceUID=${sop}`, `SOPClassUID=${instance.sopClass}`);
    yield queryIdentifier(keys);
  }
}

function sent(request: QueryRequest): Instance[] {
  asked.push(textOf(request.identifier, 0x00080052) ?? '');
  return matching(request).map(({ instance }) => ({
    ...instance,
    open() {
      if (unreadable.has(instance.sopInstance)) throw new Error('The disk of the archive is broken.');
      return mistaken === undefined ? instance.open() : instanceOfFile(mistaken).open();
    },
  }));
}

const HANDLERS: DimseHandlers = {
  async *onFind(request) {
    const matches =
      request.sopClass === '1.2.840.10008.5.1.4.31'
        ? [queryIdentifier(['PatientID=77', 'ScheduledProcedureStepSequence.Modality=MR', 'PatientName=Grey^Lee'])]
        : answers(request);
    for (const match of matches) {
      const pieces = encodeDataSet(match, transferSyntaxOf(request.transferSyntax));
      yield { identifier: Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece))) };
    }
  },
  onGet: async (request) => ({ kind: 'found', instances: sent(request) }),
  onMove: async (request) => ({
    kind: 'found',
    instances: sent(request),
    destination: { host: '127.0.0.1', port: destinationPort, calledAe: request.destination, callingAe: 'PACS' },
  }),
  async onStore({ sopInstance, dataSet }) {
    for await (const _ of dataSet);
    const status = storeStatuses.shift() ?? STATUS.success;
    if (status === STATUS.success) received.push(sopInstance);
    return { status };
  },
};

let pacs: DicomServer;
let address: string;
let folder: string;
const at = (...parts: string[]) => path.join(folder, ...parts);
const plain = hold('MR_small.dcm');
const plan = hold('rtplan.dcm');

before(async () => {
  pacs = await startDicomServer({ port: 0, host: '127.0.0.1', handlers: HANDLERS });
  address = `127.0.0.1:${pacs.port}`;
});
after(() => pacs?.close(0));
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-network-'));
  [unreadable, asked, storeStatuses] = [new Set(), [], []];
  mistaken = undefined;
  received.length = 0;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

async function dicomFiles(): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.dcm')).toSorted();
}

describe('lantern dicom echo', () => {
  test('tells whether a peer answers, and by its exit code why it does not', async () => {
    assert.equal((await lantern('echo', address, '--json')).json().answers, true);
    const silent = await lantern('echo', `127.0.0.1:${await freePort()}`);
    assert.equal(silent.code, EXIT.unavailable);
    assert.match(silent.err, /The peer is not reached/);
    assert.equal((await lantern('echo', 'somewhere')).code, EXIT.failed);
    assert.match((await lantern('echo', address, '--ca', 'x.pem')).err, /come with --tls/);
  });
});

describe('what is asked of a command by mistake', () => {
  const long = 'ABCDEFGHIJKLMNOPQ';
  const cases: readonly (readonly [RegExp, ...string[]])[] = [
    [/^Error: .* is a folder, not a file\./, 'show', FIXTURES],
    [/^Error: .* does not exist\./, 'show', 'nowhere.dcm'],
    [/--called-ae: an AE title has 1 to 16/, 'echo', '127.0.0.1:104', '--called-ae', long],
    [/--calling-ae: an AE title has 1 to 16/, 'send', '127.0.0.1:104', FIXTURES, '--calling-ae', long],
    [/--called-ae: an AE title has 1 to 16/, 'find', '127.0.0.1:104', '--called-ae', 'A\\B'],
    [/--called-ae: an AE title has 1 to 16/, 'pull', '127.0.0.1:104', 'out', 'A1', '--called-ae', ' '],
    [/--move-port: must be/, 'pull', '127.0.0.1:104', 'out', 'A1', '--move-port', '99999'],
    [/is a folder, not a file\./, 'deidentify', fixture('MR_small.dcm'), 'out', '--key-file', FIXTURES],
  ];
  for (const [message, ...args] of cases)
    test(`is refused with a sentence: lantern dicom ${args.map((arg) => path.basename(arg)).join(' ')}`, async () => {
      const { code, err, out } = await lantern(...args);
      assert.equal(code, EXIT.failed);
      assert.match(err, message);
      assert.doesNotMatch(err, /^ {4}at |internal/m, 'no stack trace');
      assert.equal(out, '');
    });
});

describe('lantern dicom find', () => {
  test('prints what a peer has, at the level and with the keys that are given', async () => {
    const found = await lantern('find', address, '-k', `PatientID=${plain.id}`);
    assert.equal(found.code, EXIT.success, found.err);
    assert.match(found.out, new RegExp(plain.uids[0].replaceAll('.', '\\.')));
    const images = await lantern(
      'find',
      address,
      '--level',
      'image',
      '-k',
      `StudyInstanceUID=${plain.uids[0]}`,
      '--json',
    );
    assert.deepEqual(images.json().matches[0]['00080018'].Value, [plain.uids[2]]);
    assert.equal((await lantern('find', address, '-k', 'PatientID=nobody')).out, 'Nothing matches.\n');
    const wrong = await lantern('find', address, '-k', 'PatientNumber=1');
    assert.match(wrong.err, /"PatientNumber" is neither a keyword of PS3\.6 nor a tag/);
  });
});

describe('lantern dicom worklist', () => {
  test('prints what is planned', async () => {
    const { out } = await lantern('worklist', address, '--modality', 'MR');
    assert.match(out, /MR .*77 .*Grey\^Lee/);
    const { entries } = (await lantern('worklist', address, '--json')).json();
    assert.equal(entries[0].PatientID, '77');
  });
});

describe('lantern dicom send', () => {
  test('sends files and folders, lists what is no DICOM file, and tries again what the peer cannot take now', async () => {
    await mkdir(at('in', 'deep'), { recursive: true });
    await copyFile(fixture('MR_small.dcm'), at('in', 'one.dcm'));
    await copyFile(fixture('rtplan.dcm'), at('in', 'deep', 'two'));
    await writeFile(at('in', 'notes.txt'), 'no DICOM at all, though it is longer than a preamble '.repeat(5));
    storeStatuses = [STATUS.outOfResources];
    const { code, json, err } = await lantern('send', address, at('in'), '--associations', '3', '--json');
    assert.equal(code, EXIT.success, err);
    assert.deepEqual(received.toSorted(), [plain.uids[2], plan.uids[2]].toSorted());
    const summary = json();
    assert.equal(summary.sent, 2);
    assert.deepEqual(
      summary.skipped.map(({ file }: { file: string }) => path.basename(file)),
      ['notes.txt'],
    );
  });

  test('ends with an error where something was not taken, having sent the rest', async () => {
    storeStatuses = [STATUS.duplicateSopInstance];
    const { code, out, err } = await lantern('send', address, fixture('MR_small.dcm'), fixture('rtplan.dcm'));
    assert.equal(code, EXIT.failed);
    assert.match(out, /^1 files are sent/);
    assert.match(out, /MR_small\.dcm: the peer has other content under its UID \(0111H\)/);
    assert.match(err, /1 of 2 files were not taken/);
  });

  test('ends with an error where there is nothing to send', async () => {
    await writeFile(at('notes.txt'), 'no DICOM at all, though it is longer than a preamble '.repeat(5));
    const { code, out, err } = await lantern('send', address, at('notes.txt'));
    assert.equal(code, EXIT.failed);
    assert.match(out, /notes\.txt: /);
    assert.match(err, /no DICOM file among them/);
  });
});

describe('lantern dicom pull', () => {
  const pull = (...args: string[]) => lantern('pull', address, folder, '--by', 'patient-id', '--json', ...args);
  const outline = (result: Awaited<ReturnType<typeof pull>>) =>
    result
      .json()
      .entries.map((entry: Record<string, unknown>) => [
        entry['value'],
        entry['state'],
        entry['hereCount'],
        entry['earlierCount'],
      ]);

  test('fetches the studies of a list, says what is missing and why, and goes on where it was', async () => {
    await writeFile(at('list.txt'), `${plain.id}\n\n${plan.id}\n`);
    unreadable = new Set([plan.uids[2]]);
    const first = await pull('nobody', '--list', at('list.txt'));
    assert.equal(first.code, EXIT.failed);
    assert.deepEqual(outline(first), [
      ['nobody', 'not-found', undefined, undefined],
      [plain.id, 'done', 1, 0],
      [plan.id, 'failed', 0, 0],
    ]);
    assert.match(first.json().entries[2].reason, /1 failed/);
    assert.deepEqual(await dicomFiles(), [path.join(plain.uids[0], plain.uids[1], `${plain.uids[2]}.dcm`)]);
    unreadable = new Set();
    asked = [];
    const second = await pull('--list', at('list.txt'));
    assert.equal(second.code, EXIT.success, second.out);
    assert.deepEqual(outline(second), [
      [plain.id, 'done', 1, 1],
      [plan.id, 'done', 1, 0],
    ]);
    assert.deepEqual(asked, ['STUDY'], 'what is there is not asked for');
    const [file = ''] = await dicomFiles();
    assert.equal(
      instanceOfFile(at(file)).transferSyntax,
      held.find(({ uids }) => file.includes(uids[2]))?.instance.transferSyntax,
    );
  });

  test('by C-MOVE opens a port, and keeps what was asked for alone', async () => {
    destinationPort = await freePort();
    const { code, err } = await pull(plain.id, '--move-port', String(destinationPort), '--move-host', '127.0.0.1');
    assert.equal(code, EXIT.success, err);
    assert.equal((await dicomFiles()).length, 1);
  });

  test('by C-MOVE says so where the port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => void taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const where = ['--move-host', '127.0.0.1', '--move-port', String(port)];
    const { code, err } = await lantern('pull', '127.0.0.1:104', path.join(folder, 'taken'), 'A1', ...where);
    assert.equal(code, EXIT.config);
    assert.match(err, /cannot be listened on/);
    assert.doesNotMatch(err, /^ {4}at /m);
    await new Promise((resolve) => taken.close(resolve));
  });

  test('keeps nothing under a name that is not its own', async () => {
    mistaken = fixture('reportsi.dcm');
    const { code, json } = await pull(plain.id);
    assert.equal(code, EXIT.failed);
    assert.match(json().entries[0].reason, /1 failed/);
    assert.deepEqual(await readdir(path.join(folder, plain.uids[0], plain.uids[1])), []);
  });

  test('refuses values that would fetch more than was listed', async () => {
    assert.match((await pull('A*')).err, /wildcards are not taken/);
    assert.match((await pull()).err, /Nothing is listed/);
    assert.match((await lantern('pull', address, folder, '1', '--by', 'name')).err, /--by: must be one of/);
  });
});
