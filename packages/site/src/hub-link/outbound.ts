/**
 * The only door out of the hospital towards the hub. It opens for the operations of the contract's EGRESS_TABLE and for no
 * other, so that a new message cannot leave before somebody has written down what it holds and who approved it. Every message
 * that leaves is counted.
 */
import {
  type AnswerBody,
  AppError,
  type CallInput,
  createApiClient,
  type Digest,
  EGRESS_TABLE,
  type EgressRow,
  HUB_API,
  pathOf,
  type ResponseOf,
  type SentMessages,
  type SignedEnvelope,
  type TaskId,
  type UploadOffset,
} from '@lantern/contract';
import { type Download, type HttpClient, sha256 } from '@lantern/service';

type HubOperation = keyof typeof HUB_API;

export type Outbound = {
  call<K extends HubOperation>(
    operation: K,
    input: CallInput<(typeof HUB_API)[K]>,
  ): Promise<ResponseOf<(typeof HUB_API)[K]>>;
  /** Posts a signed answer of the given kind. */
  answer(
    taskId: TaskId,
    answer: { kind: AnswerBody['kind']; envelope: SignedEnvelope; signal: AbortSignal },
  ): Promise<void>;
  /** Reads a blob from byte `start` on. */
  readBlob(digest: Digest, from: { start: number; signal: AbortSignal }): Promise<Download>;
  /** Appends bytes to a blob of which the hub has `offset` bytes already. */
  appendUpload(
    digest: Digest,
    part: { offset: number; sizeBytes: number; body: Uint8Array; signal: AbortSignal },
  ): Promise<UploadOffset>;
  /** How often each message of the egress table was sent, the table's order. */
  sent(): SentMessages['messages'];
  close(): void;
};

export function createOutbound(http: HttpClient): Outbound {
  const api = createApiClient(http.transport);
  const counts = new Map<EgressRow, number>();
  /** Refuses what has no row in the table, and counts what has. */
  const permit = (operation: HubOperation, answerKind?: AnswerBody['kind']): void => {
    const row = EGRESS_TABLE.find((one) => one.operation === operation && one.answerKind === answerKind);
    if (row === undefined) throw notInTable(operation, answerKind);
    counts.set(row, (counts.get(row) ?? 0) + 1);
  };
  return {
    async call(operation, input) {
      permit(operation);
      return api.call(HUB_API[operation], input);
    },
    async answer(taskId, { kind, envelope, signal }) {
      permit('answerTask', kind);
      await api.call(HUB_API.answerTask, { params: { taskId }, body: envelope, signal });
    },
    async readBlob(digest, { start, signal }) {
      permit('siteReadBlob');
      return http.download(pathOf(HUB_API.siteReadBlob, { digest }), { start, signal });
    },
    async appendUpload(digest, { offset, sizeBytes, body, signal }) {
      permit('siteAppendUpload');
      const path = `${pathOf(HUB_API.siteAppendUpload, { digest })}?offset=${offset}&sizeBytes=${sizeBytes}`;
      const part = { body, sizeBytes: body.byteLength, digest: sha256(body), signal };
      return http.upload(path, { ...part, schema: HUB_API.siteAppendUpload.response });
    },
    sent: () =>
      EGRESS_TABLE.flatMap((row) => {
        const count = counts.get(row);
        return count === undefined ? [] : [{ message: row.message, operation: row.operation, count }];
      }),
    close: () => http.close(),
  };
}

function notInTable(operation: HubOperation, answerKind: string | undefined): AppError {
  return answerKind === undefined
    ? new AppError('policy.refused', `Operation "${operation}" is not in the table of what may leave a hospital.`)
    : new AppError('policy.refused', `An answer of kind "${answerKind}" may not leave.`);
}
