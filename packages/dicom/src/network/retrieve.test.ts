import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { textAsItStands } from '../element-values.ts';
import { EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import type { DimseHandlers, Instance, StoreRequest } from './handlers.ts';
import { identifierOf } from './identifier.ts';
import { type AssociationOptions, openAssociation } from './open-association.ts';
import {
  fetchingContext,
  identifierContext,
  type ProposedContext,
  storingContexts,
  storingGroups,
} from './proposal.ts';
import { startDicomServer } from './server.ts';
import { SOP_CLASSES } from './sop-classes.ts';
import { STATUS } from './status.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const MR = '1.2.840.10008.5.1.4.1.1.4';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const MPEG4 = '1.2.840.10008.1.2.4.102';
const PATIENT = identifierOf([textAsItStands(0x00100020, ['P1'], 'LO')]);

type Stored = Pick<StoreRequest, 'sopClass' | 'sopInstance' | 'transferSyntax' | 'moveOriginator'> & {
  content: string;
};

/** A peer that keeps what it is sent, and what its associations were like. */
async function archiveFor(t: TestContext, handlers: DimseHandlers = {}) {
  const stored: Stored[] = [];
  let associations = 0;
  let [open, openMost] = [0, 0];
  const server = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    acceptsPrivate: true,
    admit: async () => {
      associations += 1;
      return 'accepted';
    },
    handlers: {
      onStore: async ({ sopClass, sopInstance, transferSyntax, moveOriginator, dataSet }) => {
        open = server.connectionCount;
        openMost = Math.max(openMost, open);
        const content = (await dataSet.whole(1000)).toString('latin1');
        stored.push({ sopClass, sopInstance, transferSyntax, moveOriginator, content });
        return { status: STATUS.success };
      },
      ...handlers,
    },
  });
  t.after(() => server.close(0));
  const destination = { host: '127.0.0.1', port: server.port, calledAe: 'ARCHIVE', callingAe: 'LANTERN' };
  return { server, stored, destination, seen: () => ({ associations, openMost }) };
}

async function clientOf(t: TestContext, port: number, options: Partial<AssociationOptions>) {
  const client = await openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: 'LANTERN',
    callingAe: 'VIEWER',
    contexts: [identifierContext(SOP_CLASSES.studyRootMove), identifierContext(SOP_CLASSES.verification)],
    ...options,
  });
  t.after(() => client.abort());
  return client;
}

function instance(
  index: number,
  about: { sopClass?: string; transferSyntax?: string; canBe?: readonly string[] } = {},
): Instance {
  const { sopClass = CT, transferSyntax = EXPLICIT_LITTLE_ENDIAN, canBe } = about;
  const plain = (syntax: string): Instance => ({
    sopClass,
    sopInstance: `1.2.3.${index}`,
    transferSyntax: syntax,
    async *open() {
      yield Buffer.from(syntax === transferSyntax ? `as it is, ${index}` : `made ${syntax}`);
    },
  });
  if (canBe === undefined) return plain(transferSyntax);
  return { ...plain(transferSyntax), transcoded: (syntax) => (canBe.includes(syntax) ? plain(syntax) : undefined) };
}

describe('instances that are to be sent', () => {
  const manyKinds = Array.from({ length: 300 }, (_, index) =>
    instance(index, { sopClass: `1.2.826.0.1.${index % 150}` }),
  );

  test('are put together so that the contexts of each association fit, none lost and none twice', () => {
    const groups = storingGroups(manyKinds);
    assert.deepEqual(
      groups.map(({ contexts, instances }) => [contexts.length, instances.length]),
      [
        [128, 256],
        [22, 44],
      ],
    );
    assert.equal(new Set(groups.flatMap(({ instances }) => instances)).size, 300);
    for (const { contexts, instances } of groups) {
      const classes = new Set(contexts.map(({ abstractSyntax }) => abstractSyntax));
      assert.ok(instances.every(({ sopClass }) => classes.has(sopClass)));
    }
    assert.deepEqual(storingContexts(manyKinds), groups[0]?.contexts);
    assert.deepEqual(storingContexts([]), []);
  });

  test('also when a context for transcoding comes to each', () => {
    const kinds = Array.from({ length: 100 }, (_, index) =>
      instance(index, {
        sopClass: `1.2.826.0.1.${index}`,
        transferSyntax: JPEG_LOSSLESS,
        canBe: [EXPLICIT_LITTLE_ENDIAN],
      }),
    );
    const groups = storingGroups(kinds);
    assert.deepEqual(
      groups.map(({ contexts }) => contexts.length),
      [128, 72],
    );
  });

  test('arrive by C-MOVE over as many associations as they need, one after the other', async (t) => {
    const archive = await archiveFor(t);
    const found = { kind: 'found' as const, instances: manyKinds, destination: archive.destination };
    const { server } = await archiveFor(t, { onMove: async () => found });
    const client = await clientOf(t, server.port, {});
    const remaining: number[] = [];
    const result = await client.move(PATIENT, {
      sopClass: SOP_CLASSES.studyRootMove,
      destination: 'ARCHIVE',
      onProgress: (progress) => remaining.push(progress.remaining),
    });
    assert.deepEqual([result.status, result.completed, result.failed], [STATUS.success, 300, 0]);
    assert.deepEqual(remaining, [...Array.from({ length: 299 }, (_, index) => 299 - index), 0]);
    assert.equal(new Set(archive.stored.map(({ sopInstance }) => sopInstance)).size, 300);
    assert.deepEqual(archive.seen(), { associations: 2, openMost: 1 });
  });
});

describe('an instance whose transfer syntax a peer does not take', () => {
  const move = async (t: TestContext, instances: readonly Instance[], contexts: readonly ProposedContext[]) => {
    const { server } = await archiveFor(t, { onGet: async () => ({ kind: 'found', instances }) });
    const stored: Stored[] = [];
    const client = await clientOf(t, server.port, {
      contexts: [identifierContext(SOP_CLASSES.studyRootGet), ...contexts],
      handlers: {
        onStore: async ({ sopClass, sopInstance, transferSyntax, moveOriginator, dataSet }) => {
          const content = (await dataSet.whole(1000)).toString('latin1');
          stored.push({ sopClass, sopInstance, transferSyntax, moveOriginator, content });
          return { status: STATUS.success };
        },
      },
    });
    return { stored, result: await client.get(PATIENT, { sopClass: SOP_CLASSES.studyRootGet }) };
  };
  const compressed = instance(1, { transferSyntax: JPEG_LOSSLESS, canBe: [IMPLICIT_LITTLE_ENDIAN] });

  test('goes by C-GET in one that it takes and that it can be brought to', async (t) => {
    const { stored, result } = await move(t, [compressed], [fetchingContext(CT, [IMPLICIT_LITTLE_ENDIAN])]);
    assert.equal(result.status, STATUS.success);
    assert.deepEqual(
      stored.map(({ transferSyntax, content }) => [transferSyntax, content]),
      [[IMPLICIT_LITTLE_ENDIAN, `made ${IMPLICIT_LITTLE_ENDIAN}`]],
    );
  });

  test('goes as it is where its own is taken too', async (t) => {
    const contexts = [fetchingContext(CT, [IMPLICIT_LITTLE_ENDIAN]), fetchingContext(CT, [JPEG_LOSSLESS])];
    const { stored } = await move(t, [compressed], contexts);
    assert.deepEqual(
      stored.map(({ transferSyntax, content }) => [transferSyntax, content]),
      [[JPEG_LOSSLESS, 'as it is, 1']],
    );
  });

  test('fails with the reason where it cannot be brought to any, and the others go', async (t) => {
    const video = instance(2, { transferSyntax: MPEG4, canBe: [] });
    const { stored, result } = await move(t, [video, compressed], [fetchingContext(CT, [IMPLICIT_LITTLE_ENDIAN])]);
    assert.deepEqual([result.status, result.completed, result.failed], [STATUS.subOperationsFailed, 1, 1]);
    assert.match(result.comment ?? '', /No presentation context/);
    assert.deepEqual(
      stored.map(({ sopInstance }) => sopInstance),
      ['1.2.3.1'],
    );
  });

  test('is offered uncompressed by C-MOVE beside its own', () => {
    const mixed = [compressed, instance(2, { sopClass: MR })];
    assert.deepEqual(storingContexts(mixed), [
      { abstractSyntax: CT, transferSyntaxes: [JPEG_LOSSLESS] },
      { abstractSyntax: CT, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN] },
      { abstractSyntax: MR, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN] },
    ]);
  });
});

test('message ids begin again at 1 after 65,535', async (t) => {
  const archive = await archiveFor(t);
  const found = { kind: 'found' as const, instances: [instance(7)], destination: archive.destination };
  const { server } = await archiveFor(t, { onMove: async () => found });
  const client = await clientOf(t, server.port, {});
  const move = () => client.move(PATIENT, { sopClass: SOP_CLASSES.studyRootMove, destination: 'ARCHIVE' });
  const atOnce = Array.from({ length: 7 });
  for (let id = 0; id < 65_534; id += atOnce.length) await Promise.all(atOnce.map(() => client.echo()));
  await move();
  await move();
  assert.deepEqual(
    archive.stored.map(({ moveOriginator }) => moveOriginator?.messageId),
    [65_535, 1],
  );
});
