/**
 * De-identifying files: ours beside pydicom doing the same actions, in turns so that both meet the same machine.
 *
 *   npm run bench -- deidentify [--objects 400] [--slices 200] [--runs 7] [--python PATH]
 *
 * Three forms of the same work. Headers: small objects, from bytes in memory to bytes in memory. Files: the same objects, read from
 * the page cache and written to new files, where opening and closing takes a good part. Slices: files of half a megabyte, whose pixels
 * stay. The objects are an MR header of a scanner with its private elements, each with
 * UIDs, times and a position of its own, so that nothing can be remembered from the one before but what a series shares.
 *
 * Ours also looks for the patient's identifiers in every text that stays; the peer is spared that. Both use one core; the results
 * are by the clock, and in processor time, which the steadier.
 *
 * Physical bound of the slices: copying the same files.
 */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writevSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import {
  createDeidentifier,
  memorySource,
  openFileSource,
  outputFile,
  PROFILE_DEFAULT,
  readPart10,
} from '@lantern/dicom';
import { medianOf, report, summarise } from '../measurement.ts';

const HEADER_SPEED_MIN = 10; // of pydicom's
const SLICES_MB_PER_S_MIN = 100;
const KEY = Buffer.alloc(32, 'k');
const MODEL = path.resolve(import.meta.dirname, '../../fixtures/dicom/MR_small.dcm');
const SLICE_COLUMNS = 512;

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: path.resolve(import.meta.dirname, '../../.lantern/peers/bin/python') },
    objects: { type: 'string', default: '400' },
    slices: { type: 'string', default: '200' },
    runs: { type: 'string', default: '7' },
  },
});

const FORMS = ['headers', 'files', 'slices'] as const;
type Form = (typeof FORMS)[number];
/** Milliseconds by the clock and of the process's processor time. */
type Time = { readonly clock: number; readonly processor: number };
type Folders = { readonly from: string; readonly ours: string; readonly theirs: string };

/** Copies of the model that differ where slices of a series do; `columns` of 512 make it a CT slice of half a megabyte. */
function writeObjects(folder: string, count: number, columns?: number): void {
  const model = readFileSync(MODEL);
  const uid = Buffer.from('1.3.6.1.4.1.5962.1.1.4.1.1.20040826185059.5457');
  for (let index = 0; index < count; index += 1) {
    const bytes = Buffer.from(model);
    const own = String(10_000 + index);
    for (let at = bytes.indexOf(uid); at >= 0; at = bytes.indexOf(uid, at + 1))
      bytes.write(own, at + uid.length - 5, 'latin1');
    writeFileSync(path.join(folder, `${own}.dcm`), columns === undefined ? bytes : withPixels(bytes, columns));
  }
}

function withPixels(object: Buffer, columns: number): Buffer {
  const at = object.lastIndexOf(Buffer.from('e07f1000', 'hex'));
  const head = Buffer.from(object.subarray(0, at + 12));
  for (const tag of ['28001000', '28001100']) head.writeUInt16LE(columns, head.indexOf(Buffer.from(tag, 'hex')) + 8);
  head.writeUInt32LE(2 * columns * columns, at + 8);
  return Buffer.concat([head, Buffer.alloc(2 * columns * columns, 0x35)]);
}

async function timed(run: () => Promise<void> | void): Promise<Time> {
  const before = process.cpuUsage();
  const begin = performance.now();
  await run();
  const clock = performance.now() - begin;
  const { user, system } = process.cpuUsage(before);
  return { clock, processor: (user + system) / 1000 };
}

/** The whole object as bytes, which go nowhere. */
async function runInMemory(objects: readonly Buffer[]): Promise<void> {
  const deidentifier = createDeidentifier({ key: KEY, profile: PROFILE_DEFAULT });
  for (const bytes of objects) {
    const outcome = await deidentifier.deidentify(readPart10(memorySource(bytes)));
    assert.equal(outcome.kind, 'deidentified');
    if (outcome.kind === 'deidentified') Buffer.concat([...outputFile(outcome)]);
  }
}

async function runOurs({ from, ours }: Folders): Promise<void> {
  const deidentifier = createDeidentifier({ key: KEY, profile: PROFILE_DEFAULT });
  for (const file of readdirSync(from)) {
    const source = openFileSource(path.join(from, file));
    const outcome = await deidentifier.deidentify(readPart10(source));
    assert.equal(outcome.kind, 'deidentified');
    if (outcome.kind === 'deidentified') {
      const descriptor = openSync(path.join(ours, file), 'w');
      writevSync(descriptor, [...outputFile(outcome)]);
      closeSync(descriptor);
    }
    source.close();
  }
}

/** Tag -> what our rules do, for the peer: as our own report tells it. */
async function actionsFor({ from }: Folders): Promise<Record<string, string>> {
  const [file = ''] = readdirSync(from);
  const source = openFileSource(path.join(from, file));
  const { report: done } = await createDeidentifier({ key: KEY, profile: PROFILE_DEFAULT }).deidentify(
    readPart10(source),
  );
  source.close();
  return Object.fromEntries(
    done.entries.map(({ path: place, action }) => [place.slice(-11).replace(/[(),]/g, ''), action]),
  );
}

type Peer = { readonly version: string; run(): Promise<Time>; close(): Promise<void> };

async function startPeer(form: Form, folders: Folders, actions: string): Promise<Peer | undefined> {
  if (!existsSync(values.python)) {
    process.stderr.write('pydicom is left out: run scripts/setup-peers first\n');
    return undefined;
  }
  const script = path.join(import.meta.dirname, 'pydicom_peer.py');
  const child = spawn(
    values.python,
    [script, form === 'headers' ? 'memory' : 'files', folders.from, folders.theirs, actions],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => JSON.parse((await lines.next()).value ?? '{}');
  const { pydicom } = await answer();
  return {
    version: String(pydicom),
    async run() {
      child.stdin.write('run\n');
      const [clock, processor] = await answer();
      return { clock, processor };
    },
    async close() {
      const exit = once(child, 'exit');
      child.stdin.end();
      await exit;
    },
  };
}

function copyAll(from: string, to: string): void {
  for (const file of readdirSync(from)) copyFileSync(path.join(from, file), path.join(to, file));
}

async function measure(form: Form, root: string): Promise<void> {
  const at = (name: string) => path.join(root, form, name);
  const folders = { from: at('in'), ours: at('ours'), theirs: at('theirs') };
  for (const folder of [...Object.values(folders), at('copy')]) mkdirSync(folder, { recursive: true });
  writeObjects(
    folders.from,
    Number(form === 'slices' ? values.slices : values.objects),
    form === 'slices' ? SLICE_COLUMNS : undefined,
  );
  const actions = at('actions.json');
  writeFileSync(actions, JSON.stringify(await actionsFor(folders)));
  const peer = await startPeer(form, folders, actions);
  const [ours, theirs, copies]: [Time[], Time[], Time[]] = [[], [], []];
  const objects = readdirSync(folders.from).map((file) => readFileSync(path.join(folders.from, file)));
  const runForm = () => (form === 'headers' ? runInMemory(objects) : runOurs(folders));
  await runForm(); // both have met every page and compiled every function
  await peer?.run();
  for (let run = 0; run < Number(values.runs); run += 1) {
    ours.push(await timed(runForm));
    if (peer !== undefined) theirs.push(await peer.run());
    copies.push(await timed(() => copyAll(folders.from, at('copy'))));
  }
  await peer?.close();
  for (const by of ['clock', 'processor'] as const)
    reportForm(form, by, { ours, theirs, copies, folder: folders.from, version: peer?.version ?? '' });
}

function reportForm(
  form: Form,
  by: keyof Time,
  found: { ours: Time[]; theirs: Time[]; copies: Time[]; folder: string; version: string },
): void {
  const files = readdirSync(found.folder);
  const megabytes = files.reduce((sum, file) => sum + statSync(path.join(found.folder, file)).size, 0) / 1e6;
  const unit = form === 'slices' ? 'MB/s' : 'ms per object';
  const inUnit = (time: Time) => (form === 'slices' ? (1000 * megabytes) / time[by] : time[by] / files.length);
  const [ours, theirs, copies] = [found.ours, found.theirs, found.copies].map((times) => times.map(inUnit));
  const median = medianOf(ours ?? []);
  const peerMedian = medianOf(theirs ?? []);
  const targets: Readonly<Record<Form, { text: string; kept: boolean } | undefined>> = {
    headers: {
      text: `at least ${HEADER_SPEED_MIN} x the speed of pydicom`,
      kept: peerMedian / median >= HEADER_SPEED_MIN,
    },
    files: undefined,
    slices: { text: `at least ${SLICES_MB_PER_S_MIN} MB/s`, kept: median >= SLICES_MB_PER_S_MIN },
  };
  const target = found.theirs.length === 0 && form === 'headers' ? undefined : targets[form];
  report({
    name: `de-identify ${form}, ${by === 'clock' ? 'by the clock' : 'processor time'}`,
    unit,
    ...summarise(ours ?? []),
    ...(found.theirs.length === 0
      ? {}
      : { peer: { name: `pydicom ${found.version}`, median: peerMedian, ratio: median / peerMedian } }),
    ...(target === undefined ? {} : { target }),
    ...(form === 'headers' ? {} : { bound: { why: 'copying the same files', value: medianOf(copies ?? []) } }),
    facts: { objects: files.length, megabytes: Math.round(megabytes) },
  });
}

const root = mkdtempSync(path.join(tmpdir(), 'lantern-bench-deidentify-'));
try {
  for (const form of FORMS) await measure(form, root);
} finally {
  rmSync(root, { recursive: true });
}
