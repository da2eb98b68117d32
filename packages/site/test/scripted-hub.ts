/**
 * The other party, scripted: a hub that speaks the protocol over real sockets and does what a test tells it. It is not the
 * hub of this project, so that a test can also make it lie, vanish, or send things twice.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import {
  type Answer,
  AnswerSchema,
  AppError,
  type AskedProject,
  type BlobRef,
  type BundleManifest,
  type DatasetOffer,
  type Decision,
  DecisionSchema,
  type Digest,
  type EnrolmentRequest,
  HUB_API,
  PAYLOAD_TYPES,
  type RegisteredModelVersion,
  type SignedEnvelope,
  type SiteId,
  type SiteTask,
  type TaskId,
} from '@lantern/contract';
import {
  createHttpServer,
  createLogger,
  createMetrics,
  defineRoute,
  generateKeyPair,
  type KeyPair,
  newId,
  openEnvelope,
  type PublicKey,
  parseByteRange,
  publicKeyFromPem,
  type Route,
  sha256,
  signEnvelope,
  systemClock,
} from '@lantern/service';

export type ScriptedHub = {
  /** Through a wire that records every byte the site sends. */
  readonly url: string;
  readonly keyPair: KeyPair;
  readonly code: string;
  /** Everything the site sent, as it left. */
  sentBytes(): Buffer;
  siteId(): SiteId;
  asked: AskedProject[];
  bundles: Map<Digest, BundleManifest>;
  modelVersions: Map<string, RegisteredModelVersion>;
  readonly offers: DatasetOffer[][];
  readonly decisions: Decision[];
  readonly answers: Answer[];
  readonly anchors: SignedEnvelope[];
  readonly uploads: Map<Digest, Buffer>;
  /** False: no task asks for an update any more, as a hub says once the round is over. */
  takesUploads: boolean;
  /** Called before an answer is taken; may throw what the hub shall answer. */
  beforeAnswer: (answer: Answer) => Promise<void>;
  putBlob(bytes: Uint8Array): BlobRef;
  /** Signs and queues a task. */
  send(task: SiteTask): void;
  /** Queues an envelope as it is. */
  sendRaw(envelope: SignedEnvelope): void;
  sign(task: SiteTask): SignedEnvelope;
  /** Resolves with the first answer to the task. */
  answerTo(taskId: TaskId): Promise<Answer>;
  /** Cuts every connection and refuses new ones until `comeBack`. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  /** Resolves when `condition` holds; checked after everything the site does. */
  until(condition: () => boolean): Promise<void>;
  close(): Promise<void>;
};

const UPLOAD_BYTES_MAX = 64 * 1024 * 1024;

export async function startScriptedHub(): Promise<ScriptedHub> {
  const state = new HubState();
  const nonces = new Set<string>();
  const server = await createHttpServer({
    routes: routesOf(state),
    authenticators: {
      token: async () => undefined,
      site: {
        lookupKey: async (keyId) =>
          state.site?.key.keyId === keyId
            ? { state: 'active', publicKey: state.site.key.publicKey, owner: { siteId: state.site.siteId } }
            : { state: 'unknown' },
        nonces: {
          async spend({ keyId, nonce }) {
            const fresh = !nonces.has(`${keyId} ${nonce}`);
            nonces.add(`${keyId} ${nonce}`);
            return fresh;
          },
        },
        clock: systemClock,
      },
    },
    log: createLogger({ name: 'scripted-hub', level: 'silent' }),
    metrics: createMetrics('scripted-hub'),
    clock: systemClock,
    title: 'Scripted hub',
    version: '0.0.0',
  });
  const hubUrl = new URL(await server.listen({ host: '127.0.0.1', port: 0 }));
  const wire = await openWire(Number(hubUrl.port));
  return Object.assign(state.controls(), {
    url: `http://127.0.0.1:${wire.port}`,
    sentBytes: () => wire.sentBytes(),
    goAway: () => wire.cut(),
    comeBack: () => wire.restore(),
    async close() {
      await wire.close();
      await server.close();
    },
  });
}

class HubState {
  readonly keyPair = generateKeyPair();
  readonly code = 'one-time-code-0123456789';
  site: { siteId: SiteId; key: PublicKey } | undefined;
  readonly blobs = new Map<Digest, Buffer>();
  readonly queue: SignedEnvelope[] = [];
  readonly waiters = new Set<() => void>();
  readonly pollers = new Set<() => void>();
  readonly hub = {
    asked: [] as AskedProject[],
    bundles: new Map<Digest, BundleManifest>(),
    modelVersions: new Map<string, RegisteredModelVersion>(),
    offers: [] as DatasetOffer[][],
    decisions: [] as Decision[],
    answers: [] as Answer[],
    anchors: [] as SignedEnvelope[],
    uploads: new Map<Digest, Buffer>(),
    takesUploads: true,
    beforeAnswer: async (_answer: Answer): Promise<void> => undefined,
  };

  changed(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  requireSite(): { siteId: SiteId; key: PublicKey } {
    if (this.site === undefined) throw new AppError('site.unknown', 'No site has joined.');
    return this.site;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const waiter = () => {
          this.waiters.delete(waiter);
          resolve();
        };
        this.waiters.add(waiter);
      });
    }
  }

  push(envelope: SignedEnvelope): void {
    this.queue.push(envelope);
    for (const poller of [...this.pollers]) poller();
  }

  controls() {
    const { hub } = this;
    const sign = (task: SiteTask) =>
      signEnvelope({ payloadType: PAYLOAD_TYPES.task, payload: task, keyPair: this.keyPair });
    return Object.assign(hub, {
      keyPair: this.keyPair,
      code: this.code,
      siteId: () => this.requireSite().siteId,
      putBlob: (bytes: Uint8Array): BlobRef => {
        const digest = sha256(bytes);
        this.blobs.set(digest, Buffer.from(bytes));
        return { digest, sizeBytes: bytes.byteLength };
      },
      sign,
      send: (task: SiteTask) => this.push(sign(task)),
      sendRaw: (envelope: SignedEnvelope) => this.push(envelope),
      until: (condition: () => boolean) => this.until(condition),
      answerTo: async (taskId: TaskId): Promise<Answer> => {
        await this.until(() => hub.answers.some((answer) => answer.taskId === taskId));
        const answer = hub.answers.find((candidate) => candidate.taskId === taskId);
        if (answer === undefined) throw new AppError('internal', 'The answer vanished.');
        return answer;
      },
    });
  }

  async poll(waitMs: number, signal: AbortSignal): Promise<SignedEnvelope[]> {
    if (this.queue.length === 0 && waitMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        const wake = () => {
          clearTimeout(timer);
          this.pollers.delete(wake);
          resolve();
        };
        this.pollers.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    return signal.aborted ? [] : this.queue.splice(0);
  }
}

const SITE = { kind: 'site' } as const;
const OK = { ok: true } as const;

function routesOf(state: HubState): Route[] {
  return [...membershipRoutes(state), ...taskRoutes(state), ...blobRoutes(state)];
}

function membershipRoutes(state: HubState): Route[] {
  const { hub } = state;
  return [
    defineRoute(HUB_API.enrol)({
      access: { kind: 'public', why: 'the request proves code and key' },
      handler: async ({ body, verifySignedBy }) => {
        await verifySignedBy(body.publicKeyPem);
        return enrol(state, body);
      },
    }),
    defineRoute(HUB_API.offerDatasets)({
      access: SITE,
      handler: async ({ body }) => {
        hub.offers.push(body.datasets);
        state.changed();
        return OK;
      },
    }),
    defineRoute(HUB_API.listAskedProjects)({ access: SITE, handler: async () => ({ projects: hub.asked }) }),
    defineRoute(HUB_API.deliverDecision)({
      access: SITE,
      handler: async ({ body }) => {
        const { key: signer } = state.requireSite();
        hub.decisions.push(openEnvelope(body, { payloadType: PAYLOAD_TYPES.decision, schema: DecisionSchema, signer }));
        state.changed();
        return OK;
      },
    }),
    defineRoute(HUB_API.anchorAudit)({
      access: SITE,
      handler: async ({ body }) => {
        hub.anchors.push(body);
        state.changed();
        return OK;
      },
    }),
  ];
}

function enrol(state: HubState, request: EnrolmentRequest) {
  if (request.code !== state.code) throw new AppError('enrolment.code-rejected', 'The one-time code is wrong.');
  state.site ??= { siteId: newId('SiteId'), key: publicKeyFromPem(request.publicKeyPem) };
  const { siteId } = state.site;
  return { siteId, name: request.name, hubName: 'Scripted hub', hubPublicKeyPem: state.keyPair.publicKeyPem };
}

function taskRoutes(state: HubState): Route[] {
  const { hub } = state;
  return [
    defineRoute(HUB_API.pollTasks)({
      access: SITE,
      handler: async ({ query, signal }) => {
        state.changed();
        return { tasks: await state.poll(query.waitMs, signal) };
      },
    }),
    defineRoute(HUB_API.answerTask)({
      access: SITE,
      bodyLimitBytes: UPLOAD_BYTES_MAX,
      handler: async ({ body, params }) => {
        const { key: signer } = state.requireSite();
        const answer = openEnvelope(body, { payloadType: PAYLOAD_TYPES.answer, schema: AnswerSchema, signer });
        if (answer.taskId !== params.taskId) throw new AppError('envelope.rejected', 'Another task.');
        await hub.beforeAnswer(answer);
        const counted = !hub.answers.some(({ taskId }) => taskId === answer.taskId);
        hub.answers.push(answer);
        state.changed();
        return { ok: true as const, counted };
      },
    }),
    defineRoute(HUB_API.siteReadModelVersion)({
      access: SITE,
      handler: async ({ params }) => {
        const version = hub.modelVersions.get(params.modelVersionId);
        if (version === undefined) throw new AppError('not-found', 'No such model version.');
        return version;
      },
    }),
  ];
}

function blobRoutes(state: HubState): Route[] {
  const { hub } = state;
  return [
    defineRoute(HUB_API.siteReadBundle)({
      access: SITE,
      handler: async ({ params }) => {
        const manifest = hub.bundles.get(params.digest);
        if (manifest === undefined) throw new AppError('not-found', 'No such bundle.');
        return manifest;
      },
    }),
    defineRoute(HUB_API.siteReadBlob)({
      access: SITE,
      handler: async ({ params, headers }) => {
        const bytes = state.blobs.get(params.digest);
        if (bytes === undefined) throw new AppError('not-found', 'No such blob.');
        const range = parseByteRange(headers.range, bytes.length);
        const part = range === undefined ? bytes : bytes.subarray(range.start, range.end);
        return {
          status: range === undefined ? (200 as const) : (206 as const),
          body: Readable.from([part]),
          sizeBytes: part.length,
          ...(range === undefined ? {} : { contentRange: range.contentRange }),
        };
      },
    }),
    defineRoute(HUB_API.siteUploadOffset)({
      access: SITE,
      handler: async ({ params }) => {
        const present = hub.uploads.get(params.digest);
        return { offset: present?.length ?? 0, complete: present !== undefined && isWhole(present, params.digest) };
      },
    }),
    defineRoute(HUB_API.siteAppendUpload)({
      access: SITE,
      stream: true,
      bodyLimitBytes: UPLOAD_BYTES_MAX,
      handler: async ({ params, query, bodyStream }) => {
        if (!hub.takesUploads) throw new AppError('auth.forbidden', 'No task of this site asks for an update.');
        const parts = [hub.uploads.get(params.digest) ?? Buffer.alloc(0)];
        for await (const part of bodyStream) parts.push(Buffer.from(part));
        const bytes = Buffer.concat(parts);
        hub.uploads.set(params.digest, bytes);
        state.changed();
        return { offset: bytes.length, complete: bytes.length === query.sizeBytes };
      },
    }),
  ];
}

function isWhole(bytes: Buffer, digest: Digest): boolean {
  return createHash('sha256').update(bytes).digest('hex') === digest;
}

/** A wire between site and hub that keeps a copy of what the site sends, and can be cut. */
async function openWire(hubPort: number) {
  const sent: Buffer[] = [];
  const sockets = new Set<Socket>();
  const relay = createServer((inside) => {
    const outside = netConnect(hubPort, '127.0.0.1');
    for (const socket of [inside, outside]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {
        inside.destroy();
        outside.destroy();
      });
    }
    inside.on('data', (bytes) => sent.push(Buffer.from(bytes)));
    inside.pipe(outside);
    outside.pipe(inside);
  });
  const port = await listenOn(relay, 0);
  const cut = async () => {
    const closed = once(relay, 'close');
    relay.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port,
    sentBytes: () => Buffer.concat(sent),
    cut,
    restore: async () => void (await listenOn(relay, port)),
    close: async () => {
      if (relay.listening) await cut();
    },
  };
}

async function listenOn(relay: Server, port: number): Promise<number> {
  relay.listen(port, '127.0.0.1');
  await once(relay, 'listening');
  const address = relay.address();
  if (address === null || typeof address === 'string') throw new AppError('internal', 'The wire has no port.');
  return address.port;
}
