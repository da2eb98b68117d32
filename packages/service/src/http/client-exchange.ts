/** One request and its answer over node:http(s): connections, time-outs, and what a break means. */
import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { request as httpsRequest, Agent as TlsAgent } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError } from '@lantern/contract';
import { describeTlsFault, trustedAuthorities } from './client-tls.ts';
import { CLIENT_CONNECT_TIMEOUT_MS, CLIENT_IDLE_TIMEOUT_MS, CLIENT_SOCKET_COUNT_MAX } from './limits.ts';

export type ClientTimeouts = {
  /** Until the connection stands, TLS included. */
  readonly connectMs: number;
  /** Without a byte in either direction; not a limit on the whole transfer. */
  readonly idleMs: number;
};

export type ExchangeRequest = {
  readonly method: string;
  /** Path and query, as signed. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Readable | Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
};

export type ExchangeResponse = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
};

export type Exchange = {
  /** Scheme, host and port of the other side, for messages. */
  readonly origin: string;
  readonly send: (request: ExchangeRequest) => Promise<ExchangeResponse>;
  readonly close: () => void;
};

type ExchangeOptions = {
  readonly baseUrl: string;
  readonly timeouts?: Partial<ClientTimeouts>;
  readonly caFile?: string;
  readonly proxyUrl?: string;
};

const SAFE_METHODS = new Set(['GET', 'HEAD']); // RFC 9110 section 9.2.1: asking again changes nothing

function checkedUrl(text: string, field: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new AppError('config.invalid', 'The address is not an http or https URL.', { field });
  }
  return url;
}

function createAgent(base: URL, options: ExchangeOptions): Agent {
  const proxy = options.proxyUrl === undefined ? undefined : checkedUrl(options.proxyUrl, 'proxyUrl').href;
  const settings = {
    keepAlive: true,
    noDelay: true,
    maxSockets: CLIENT_SOCKET_COUNT_MAX,
    ...(proxy === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxy, HTTP_PROXY: proxy } }),
  };
  if (base.protocol === 'http:') return new Agent(settings);
  if (options.caFile === undefined) return new TlsAgent(settings);
  return new TlsAgent({ ...settings, ca: trustedAuthorities(options.caFile) });
}

/** What is known of a request when it breaks. */
type Progress = { connected: boolean; handedOver: boolean; timedOut: string | undefined };

const BREAK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no machine has this name',
  EAI_AGAIN: 'names are not looked up at the moment',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
};

function breakError(request: { method: string; origin: string }, progress: Progress, cause: unknown): AppError {
  const { method, origin } = request;
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  const known = describeTlsFault(code) ?? BREAK_REASONS[code ?? ''];
  const failed = `${known ?? 'the connection failed'}${code === undefined ? '' : ` (${code})`}`;
  const what = progress.timedOut ?? failed;
  if (progress.connected && progress.handedOver && !SAFE_METHODS.has(method)) {
    return new AppError('peer.ambiguous', `No answer came from ${origin} after the request was sent: ${what}.`, {
      cause,
    });
  }
  return new AppError('peer.unreachable', `${origin} cannot be reached: ${what}.`, { cause });
}

/** Follows a request: time-outs by progress, and how far it got. */
function watch(request: ClientRequest, timeouts: ClientTimeouts): Progress {
  const progress: Progress = { connected: false, handedOver: false, timedOut: undefined };
  const stop = (what: string): void => {
    progress.timedOut = what;
    request.destroy(new Error(what));
  };
  const connecting = setTimeout(() => stop(`no connection within ${timeouts.connectMs} ms`), timeouts.connectMs);
  const connected = (): void => {
    progress.connected = true;
    clearTimeout(connecting);
  };
  request.once('socket', (socket) => {
    if (request.reusedSocket || !socket.connecting) connected();
    else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', connected);
  });
  request.once('finish', () => {
    progress.handedOver = true;
  });
  request.once('close', () => clearTimeout(connecting));
  request.setTimeout(timeouts.idleMs, () => stop(`no byte for ${timeouts.idleMs} ms`));
  return progress;
}

/**
 * The answer's body with breaks translated. The stream itself is handed on, since another one in between would cost as
 * much as the transfer; `_destroy` is where a stream learns why it ends.
 */
function answerBody(response: IncomingMessage, translate: (cause: unknown) => AppError): Readable {
  const destroy = response._destroy.bind(response);
  response._destroy = (fault, done) => destroy(fault === null ? null : translate(fault), done);
  return response;
}

function sendBody(request: ClientRequest, body: ExchangeRequest['body']): void {
  if (body instanceof Readable) {
    pipeline(body, request).catch((cause: unknown) => request.destroy(cause instanceof Error ? cause : undefined));
  } else {
    request.end(body);
  }
}

export function createExchange(options: ExchangeOptions): Exchange {
  const base = checkedUrl(options.baseUrl, 'baseUrl');
  if (base.pathname !== '/' || base.search !== '') {
    // A path in front would not be covered by what the other side verifies.
    throw new AppError('config.invalid', 'The address must not have a path.', { field: 'baseUrl' });
  }
  const agent = createAgent(base, options);
  const timeouts = { connectMs: CLIENT_CONNECT_TIMEOUT_MS, idleMs: CLIENT_IDLE_TIMEOUT_MS, ...options.timeouts };
  const start = base.protocol === 'https:' ? httpsRequest : httpRequest;
  return {
    origin: base.origin,
    send: ({ method, path, headers, body, signal }) =>
      new Promise((resolve, reject) => {
        const { hostname, port } = base;
        const host = hostname.replace(/^\[|\]$/g, '');
        const length = body instanceof Uint8Array ? { 'content-length': String(body.length) } : {};
        const request = start({ host, port, method, path, headers: { ...length, ...headers }, agent, signal });
        const progress = watch(request, timeouts);
        const translate = (cause: unknown): AppError =>
          signal?.aborted === true ? stoppedHere(signal) : breakError({ method, origin: base.origin }, progress, cause);
        request.once('response', (response) => {
          const answer = answerBody(response, translate);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: answer });
        });
        request.on('error', (cause) => {
          if (body instanceof Readable) body.destroy();
          reject(translate(cause));
        });
        sendBody(request, body);
      }),
    close: () => agent.destroy(),
  };
}

function stoppedHere(signal: AbortSignal): AppError {
  return new AppError('stopped', 'The request was stopped here.', { cause: signal.reason });
}
