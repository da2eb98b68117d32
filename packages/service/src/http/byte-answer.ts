/**
 * Sends a byte answer piece by piece, the next one only when the socket has taken the last. So a body may reuse its memory,
 * and however large it is and however slow its reader, one piece is held for it.
 *
 * Fastify would pipe a stream, whose buffers the collector has to find: for a model sent to many sites that was a third of the
 * hub's work in a round. Hence the reply is taken out of its hands as soon as the first piece is here; until then a failure is
 * answered like any other.
 */
import type { ServerResponse } from 'node:http';
import { AppError } from '@lantern/contract';
import type { FastifyReply } from 'fastify';
import type { ByteResponse } from './route.ts';

export type ByteAnswer = {
  readonly response: ByteResponse;
  /** The connection is not to be used again, as the server is closing. */
  readonly isLast: boolean;
  /** Told when the body failed after its head had left; the connection is then cut, so that the reader cannot take it for whole. */
  readonly onBreak: (fault: unknown) => void;
};

/** Resolves when the answer has been handed to the socket or the connection is gone. Throws what the first piece throws. */
export async function sendBytes(reply: FastifyReply, answer: ByteAnswer): Promise<FastifyReply> {
  const { response, isLast, onBreak } = answer;
  const pieces = response.body[Symbol.asyncIterator]();
  const first = await pieces.next();
  reply
    .code(response.status)
    .header('content-type', response.contentType ?? 'application/octet-stream')
    .headers(response.headers ?? {});
  if (response.sizeBytes !== undefined) {
    reply.header('content-length', response.sizeBytes).header('accept-ranges', 'bytes');
  }
  if (response.contentRange !== undefined) reply.header('content-range', response.contentRange);
  if (isLast) reply.header('connection', 'close');
  const { raw } = reply.hijack();
  try {
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    raw.writeHead(response.status);
    let sentBytes = 0;
    for (let piece = first; piece.done !== true; piece = await pieces.next()) {
      await taken(raw, piece.value);
      sentBytes += piece.value.byteLength;
    }
    if (sentBytes !== (response.sizeBytes ?? sentBytes))
      throw new AppError('internal', 'A byte answer is not as long as it said.');
    raw.end();
  } catch (fault) {
    if (!raw.destroyed) onBreak(fault);
    raw.destroy();
  } finally {
    await pieces.return?.();
  }
  return reply;
}

/** Resolves when the socket needs `piece` no more; rejects when the connection ends first. */
function taken(raw: ServerResponse, piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new AppError('peer.unreachable', 'The reader of a byte answer went away.'));
    if (raw.destroyed) return gone();
    raw.once('close', gone);
    raw.write(piece, (fault) => {
      raw.off('close', gone);
      if (fault === null || fault === undefined) resolve();
      else reject(fault);
    });
  });
}
