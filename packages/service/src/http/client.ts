/**
 * The HTTP client of a site towards its hub, and of the command line towards either.
 *
 * What a failed request means is decided here, once:
 * - refused, unknown host, broken before all of it was handed over, or a request that changes nothing: `peer.unreachable`,
 *   which may be tried again blindly;
 * - broken after all of it was handed over: `peer.ambiguous`, since the other side may have acted;
 * - answered with an error of ours: the same `AppError` as over there; answered with anything else (a proxy's page):
 *   `peer.unreachable`, naming the status.
 *
 * Hospital proxies: `proxyUrl` is honoured by CONNECT for https (Node's own agent does it), so TLS and our signature both
 * end at the hub.
 */
import type { Readable } from 'node:stream';
import { AppError, type Digest, parse, type Transport } from '@lantern/contract';
import type { Static, TSchema } from 'typebox';
import type { Clock } from '../clock.ts';
import { EMPTY_BODY_DIGEST } from '../identity/content-digest.ts';
import { sha256 } from '../identity/digest.ts';
import { newNonce, signRequest } from '../identity/http-signature.ts';
import type { KeyPair } from '../identity/key-pair.ts';
import { remoteError } from './client-error.ts';
import { type ClientTimeouts, createExchange, type Exchange, type ExchangeResponse } from './client-exchange.ts';
import { CLIENT_JSON_BYTES_MAX, ERROR_BODY_BYTES_MAX } from './limits.ts';

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type HttpClientOptions = {
  /** `http(s)://host[:port]`, without a path. */
  readonly baseUrl: string;
  /** Signs every request (RFC 9421) with this key. */
  readonly signer?: { readonly keyPair: KeyPair };
  /** Sends `Authorization: Bearer`. */
  readonly token?: string;
  readonly clock: Clock;
  readonly timeouts?: Partial<ClientTimeouts>;
  /** A PEM file of certificates to trust besides the system's: a hospital's own or its proxy's. */
  readonly caFile?: string;
  /** `http://[user:password@]host:port` of the proxy to go through. */
  readonly proxyUrl?: string;
  /** Greatest JSON answer [bytes]. */
  readonly jsonBytesMax?: number;
};

export type JsonCall<S extends TSchema> = {
  readonly schema: S;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
};

export type Upload<S extends TSchema> = {
  readonly method?: 'PATCH' | 'POST' | 'PUT';
  readonly body: Readable | Uint8Array;
  readonly sizeBytes: number;
  /** SHA-256 of exactly these bytes. */
  readonly digest: Digest;
  readonly schema: S;
  readonly signal?: AbortSignal;
};

export type Download = {
  readonly status: number;
  readonly headers: ExchangeResponse['headers'];
  /** Must be read or destroyed. Fails with `peer.unreachable` when the transfer breaks. */
  readonly body: Readable;
};

export type HttpClient = {
  readonly json: <S extends TSchema>(method: HttpMethod, path: string, call: JsonCall<S>) => Promise<Static<S>>;
  /** For `createApiClient`: sends JSON, gives the unparsed JSON answer. */
  readonly transport: Transport;
  /** Reads bytes from `start` on (0 when absent). */
  readonly download: (path: string, range?: { start?: number; signal?: AbortSignal }) => Promise<Download>;
  readonly upload: <S extends TSchema>(path: string, upload: Upload<S>) => Promise<Static<S>>;
  /** Ends idle connections; running requests fail. */
  readonly close: () => void;
};

type Outgoing = {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Readable | Uint8Array | undefined;
  readonly digest: Digest;
  readonly signal: AbortSignal | undefined;
};

function credentials(options: HttpClientOptions, outgoing: Outgoing): Record<string, string> {
  const token = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  if (options.signer === undefined) return token;
  const { keyPair } = options.signer;
  const { method, path: url, digest: contentDigest } = outgoing;
  return { ...token, ...signRequest({ method, url, contentDigest, keyPair, clock: options.clock, nonce: newNonce() }) };
}

/** Reads a body of at most `bytesMax`; more is `input.too-large`. */
async function readBounded(body: Readable, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) continue; // cannot be: the stream has no encoding
    bytes += chunk.length;
    if (bytes > bytesMax) throw new AppError('input.too-large', `The answer is larger than ${bytesMax} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function send(exchange: Exchange, options: HttpClientOptions, outgoing: Outgoing): Promise<ExchangeResponse> {
  const response = await exchange.send({
    method: outgoing.method,
    path: outgoing.path,
    headers: { ...outgoing.headers, ...credentials(options, outgoing) },
    body: outgoing.body,
    signal: outgoing.signal,
  });
  if (response.status >= 200 && response.status < 300) return response;
  const body = await readBounded(response.body, ERROR_BODY_BYTES_MAX).catch(() => Buffer.alloc(0)); // status suffices
  const { status, headers } = response;
  throw remoteError({ status, headers, body, origin: exchange.origin, now: options.clock.now() });
}

async function readJson(response: ExchangeResponse, bytesMax: number): Promise<unknown> {
  const body = await readBounded(response.body, bytesMax);
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's message would quote the answer, so it is not kept as a cause.
    throw new AppError('peer.unreachable', 'The other side answered with something that is not JSON.');
  }
}

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const exchange = createExchange(options);
  const jsonBytesMax = options.jsonBytesMax ?? CLIENT_JSON_BYTES_MAX;

  const transport: Transport = async ({ method, path, body, signal }) => {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body), 'utf8');
    const headers: Record<string, string> = { accept: 'application/json' };
    if (bytes !== undefined) headers['content-type'] = 'application/json';
    const digest = bytes === undefined ? EMPTY_BODY_DIGEST : sha256(bytes);
    return readJson(
      await send(exchange, options, { method, path, headers, body: bytes, digest, signal }),
      jsonBytesMax,
    );
  };

  return {
    transport,
    async json(method, path, { schema, body, signal }) {
      const request = {
        method,
        path,
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      };
      return parse(schema, await transport(request), { what: `Answer of ${method} ${path.split('?')[0]}` });
    },
    async download(path, { start = 0, signal } = {}) {
      const headers: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` };
      const outgoing = { method: 'GET', path, headers, body: undefined, digest: EMPTY_BODY_DIGEST, signal };
      const response = await send(exchange, options, outgoing);
      if (start > 0 && response.status !== 206) {
        response.body.destroy();
        throw new AppError('peer.unreachable', 'The other side ignored the byte range that was asked for.');
      }
      return response;
    },
    async upload(path, { method = 'PATCH', body, sizeBytes, digest, schema, signal }) {
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) };
      const response = await send(exchange, options, { method, path, headers, body, digest, signal });
      return parse(schema, await readJson(response, jsonBytesMax), { what: `Answer of ${method} upload` });
    },
    close: () => exchange.close(),
  };
}
