/**
 * The other party in tests: a site that does what its script says. It signs requests, answers and decisions with a real key
 * over a real socket; only what it answers is made up by the test.
 */
import { strict as assert } from 'node:assert';
import { after } from 'node:test';
import {
  type Answer,
  type AnswerBody,
  type ApiClient,
  AppError,
  type BlobRef,
  COUNT_POLICY_DEFAULT,
  createApiClient,
  type DatasetSchema,
  type Decision,
  type Digest,
  EGRESS_KINDS,
  HUB_API,
  PAYLOAD_TYPES,
  type Project,
  pathOf,
  type RoundTask,
  RUN_STATISTICS_POLICY_DEFAULT,
  type SignedEnvelope,
  type SiteId,
  type SiteTask,
  SiteTaskSchema,
} from '@lantern/contract';
import {
  type Clock,
  createHttpClient,
  documentDigest,
  generateKeyPair,
  type HttpClient,
  type KeyPair,
  newId,
  openEnvelope,
  publicKeyFromPem,
  sha256,
  signEnvelope,
  systemClock,
} from '@lantern/service';
import type { TestPerson } from './running-hub.ts';

export type ScriptedSite = {
  readonly siteId: SiteId;
  readonly name: string;
  readonly keyPair: KeyPair;
  /** As the hub gave it at enrolment; every task is verified with it. */
  readonly hubPublicKeyPem: string;
  readonly api: ApiClient;
  readonly http: HttpClient;
  /** Tasks in plain form; the hub's signature was verified. */
  readonly poll: (waitMs: number) => Promise<SiteTask[]>;
  /** Polls until a task comes. */
  readonly nextTask: () => Promise<SiteTask>;
  readonly answer: (task: SiteTask, body: AnswerBody) => Promise<{ counted: boolean }>;
  readonly decide: (project: Project, verdict: Decision['verdict'], sequence: number) => Promise<Digest>;
  readonly offer: (schema: DatasetSchema) => Promise<void>;
  readonly upload: (bytes: Uint8Array) => Promise<BlobRef>;
  readonly readBlob: (digest: Digest) => Promise<Buffer>;
  /** Answers every task by `script` until the returned function is called; a script that gives nothing stays silent. */
  readonly serve: (script: Script) => () => Promise<void>;
  readonly close: () => void;
};

export type Script = (task: RoundTask) => AnswerBody | undefined | Promise<AnswerBody | undefined>;

const LONG_POLL_MS = 2000;

export async function joinSite(
  hub: { readonly url: string; readonly admin: TestPerson },
  name: string,
  options: { keyPair?: KeyPair; clock?: Clock } = {},
): Promise<ScriptedSite> {
  const keyPair = options.keyPair ?? generateKeyPair();
  const clock = options.clock ?? systemClock;
  const http = createHttpClient({ baseUrl: hub.url, signer: { keyPair }, clock });
  const api = createApiClient(http.transport);
  const { code } = await hub.admin.api.call(HUB_API.createEnrolmentCode, { body: { siteName: name } });
  const enrolment = await api.call(HUB_API.enrol, { body: { code, name, publicKeyPem: keyPair.publicKeyPem } });
  const hubKey = publicKeyFromPem(enrolment.hubPublicKeyPem);
  return scriptedSite({ siteId: enrolment.siteId, name, keyPair, http, api, hubKey, clock });
}

/** The same site again, for instance after its hub was started anew at another port. */
export function siteAt(url: string, site: ScriptedSite, hubPublicKeyPem: string): ScriptedSite {
  const http = createHttpClient({ baseUrl: url, signer: { keyPair: site.keyPair }, clock: systemClock });
  const hubKey = publicKeyFromPem(hubPublicKeyPem);
  return scriptedSite({ ...site, http, api: createApiClient(http.transport), hubKey, clock: systemClock });
}

type Parts = Pick<ScriptedSite, 'siteId' | 'name' | 'keyPair' | 'http' | 'api'> & {
  readonly hubKey: ReturnType<typeof publicKeyFromPem>;
  readonly clock: Clock;
};

function scriptedSite(parts: Parts): ScriptedSite {
  const { siteId, name, keyPair, http, api, clock } = parts;
  const poll = async (waitMs: number, signal?: AbortSignal) => {
    const { tasks } = await api.call(HUB_API.pollTasks, {
      query: { waitMs },
      ...(signal === undefined ? {} : { signal }),
    });
    return tasks.map((envelope) => openTask(envelope, parts));
  };
  const answer = async (task: SiteTask, body: AnswerBody) =>
    api.call(HUB_API.answerTask, {
      params: { taskId: task.taskId },
      body: signedAnswer(task, body, { siteId, keyPair, clock }),
    });
  return {
    siteId,
    name,
    keyPair,
    hubPublicKeyPem: parts.hubKey.publicKeyPem,
    http,
    api,
    poll,
    answer,
    async nextTask() {
      for (let attempt = 0; attempt < 10; attempt += 1) {
        const [task] = await poll(LONG_POLL_MS);
        if (task !== undefined) return task;
      }
      return assert.fail(`No task came to ${name}.`);
    },
    decide: (project, verdict, sequence) => decide(parts, { project, verdict, sequence }),
    async offer(schema) {
      const schemaDigest = documentDigest(schema.columns);
      await api.call(HUB_API.offerDatasets, {
        body: { datasets: [{ schema, schemaDigest, feasibility: 'any-project' }] },
      });
    },
    upload: (bytes) => upload(http, bytes),
    async readBlob(digest) {
      const { body } = await http.download(pathOf(HUB_API.siteReadBlob, { digest }));
      return Buffer.concat(await body.toArray());
    },
    serve: (script) => serve({ poll, answer }, script),
    close: () => http.close(),
  };
}

function openTask(envelope: SignedEnvelope, { hubKey, siteId }: Parts): SiteTask {
  const task = openEnvelope(envelope, { payloadType: PAYLOAD_TYPES.task, schema: SiteTaskSchema, signer: hubKey });
  assert.equal(task.siteId, siteId);
  return task;
}

export function signedAnswer(
  task: Pick<SiteTask, 'taskId'>,
  body: AnswerBody,
  by: { siteId: SiteId; keyPair: KeyPair; clock?: Clock },
): SignedEnvelope {
  const payload: Answer = {
    schema: 'lantern.answer/1',
    taskId: task.taskId,
    siteId: by.siteId,
    answeredAt: (by.clock ?? systemClock).now().toISOString(),
    body,
  };
  return signEnvelope({ payloadType: PAYLOAD_TYPES.answer, payload, keyPair: by.keyPair });
}

export function decisionOf(
  siteId: SiteId,
  about: { project: Project; verdict: Decision['verdict']; sequence: number },
): Decision {
  const { project, verdict, sequence } = about;
  return {
    schema: 'lantern.decision/1',
    decisionId: newId('DecisionId'),
    siteId,
    projectId: project.projectId,
    projectDigest: project.projectDigest,
    verdict,
    ...(verdict === 'approved'
      ? {
          conditions: {
            datasets: project.spec.datasets,
            bundleDigests: project.spec.algorithms.map((algorithm) => algorithm.bundleDigest),
            egress: [...EGRESS_KINDS],
            counts: COUNT_POLICY_DEFAULT,
            runStatistics: RUN_STATISTICS_POLICY_DEFAULT,
          },
        }
      : {}),
    reason: 'as agreed',
    decidedBy: 'governance-lead',
    decidedAt: new Date().toISOString(),
    sequence,
  };
}

async function decide(
  { siteId, keyPair, api }: Parts,
  about: { project: Project; verdict: Decision['verdict']; sequence: number },
): Promise<Digest> {
  const payload = decisionOf(siteId, about);
  const envelope = signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload, keyPair });
  await api.call(HUB_API.deliverDecision, { body: envelope });
  return documentDigest(payload);
}

/** Resumes where the hub says it stands, as a site does after a break. */
async function upload(http: HttpClient, bytes: Uint8Array): Promise<BlobRef> {
  const digest = sha256(bytes);
  const api = createApiClient(http.transport);
  const { offset, complete } = await api.call(HUB_API.siteUploadOffset, { params: { digest } });
  if (!complete) {
    const rest = bytes.subarray(offset);
    const path = `${pathOf(HUB_API.siteAppendUpload, { digest })}?offset=${offset}&sizeBytes=${bytes.byteLength}`;
    const schema = HUB_API.siteAppendUpload.response;
    const reached = await http.upload(path, { body: rest, sizeBytes: rest.byteLength, digest: sha256(rest), schema });
    assert.deepEqual(reached, { offset: bytes.byteLength, complete: true });
  }
  return { digest, sizeBytes: bytes.byteLength };
}

/** Sites at work; a test that failed may have left one, which would keep the process alive. */
const serving = new Set<AbortController>();
after(() => {
  for (const controller of serving) controller.abort();
});

function serve(
  link: {
    poll: (waitMs: number, signal: AbortSignal) => Promise<SiteTask[]>;
    answer: (task: SiteTask, body: AnswerBody) => Promise<unknown>;
  },
  script: Script,
): () => Promise<void> {
  const stopped = new AbortController();
  serving.add(stopped);
  /** Once more when the hub misses a file: it may have removed the same bytes of another round. */
  const perform = async (task: RoundTask) => {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const body = await script(task);
      if (body === undefined) return;
      try {
        await link.answer(task, body);
        return;
      } catch (caught) {
        if (!(caught instanceof AppError) || caught.code !== 'conflict') throw caught;
      }
    }
  };
  const done = (async () => {
    let waitMs = 0; // a site that starts, or lost its hub, asks for every open task
    while (!stopped.signal.aborted) {
      try {
        const tasks = await link.poll(waitMs, stopped.signal);
        waitMs = LONG_POLL_MS;
        for (const task of tasks) {
          if (task.kind !== 'round') continue;
          await perform(task);
        }
      } catch (caught) {
        if (stopped.signal.aborted) return;
        if (!(caught instanceof AppError) || caught.failureClass === 'permanent') throw caught;
        waitMs = 0;
        await new Promise((resolve) => setTimeout(resolve, 20)); // the hub is away; ask again
      }
    }
  })();
  done.catch(() => undefined); // told to whoever stops the site
  return async () => {
    stopped.abort();
    serving.delete(stopped);
    await done;
  };
}
