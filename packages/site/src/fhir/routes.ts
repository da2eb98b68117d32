/** FHIR R4 over HTTP: who may, what is asked, and in which form it is answered. */
import { type AppError, FHIR_API } from '@lantern/contract';
import { isJsonObject, type JsonObject, writeJson } from '@lantern/hl7';
import {
  type ByteResponse,
  type Clock,
  type Database,
  defineRoute,
  type ErrorBody,
  type HttpRequest,
  type Logger,
  type Route,
  type UserCaller,
} from '@lantern/service';
import { recordAccess } from './access-record.ts';
import { type FhirAnswer, faultOf, outcomeAnswer } from './answer.ts';
import { answerBundle, type Guard } from './bundle-request.ts';
import { capabilityStatement } from './capability-statement.ts';
import { everything } from './everything.ts';
import { FhirFault } from './fhir-fault.ts';
import type { FhirStore } from './fhir-store.ts';
import {
  type Conditions,
  conditionalRemove,
  conditionalUpdate,
  create,
  history,
  type InteractionDeps,
  read,
  readOldVersion,
  remove,
  update,
  validateOnly,
} from './interactions.ts';
import { FHIR_BODY_BYTES_MAX, FHIR_BUNDLE_LIMITS, FHIR_JSON_LIMITS } from './limits.ts';
import { RECORD_READERS, RECORD_WRITERS, scopeGuard } from './record-access.ts';
import { checkType, parseResource } from './resource-check.ts';
import { search } from './search.ts';
import { readSearch } from './search-request.ts';

const FHIR_JSON = 'application/fhir+json; charset=utf-8';
const VERSION = '0.1.0';

export type FhirRouteDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: FhirStore;
};

export type Asked = Pick<HttpRequest, 'headers' | 'searchParams' | 'origin' | 'bodyStream'> & {
  readonly caller: UserCaller;
};

/** A refusal that the server makes before a handler runs, as OperationOutcome; its code stands in `details`. */
export const outcomeBody: ErrorBody = (error: AppError) => ({
  contentType: FHIR_JSON,
  body: writeJson({
    resourceType: 'OperationOutcome',
    issue: [
      {
        severity: 'error',
        details: { coding: [{ code: error.code }], text: error.hint },
        code: ISSUE_CODES[error.httpStatus] ?? (error.failureClass === 'transient' ? 'transient' : 'exception'),
        diagnostics: error.code === 'internal' ? 'An unexpected fault occurred.' : error.message,
      },
    ],
  }),
});

const ISSUE_CODES: Readonly<Record<number, string>> = {
  400: 'invalid',
  401: 'login',
  403: 'forbidden',
  404: 'not-found',
  413: 'too-costly',
  415: 'not-supported',
};

export function baseOf({ origin }: Pick<HttpRequest, 'origin'>): string {
  return `${origin}/fhir`;
}

/** Runs an interaction; a refusal of ours becomes an OperationOutcome of its status. */
export async function answered(work: () => Promise<FhirAnswer>): Promise<ByteResponse> {
  const answer = await work().catch((caught: unknown) => {
    const fault = faultOf(caught);
    if (fault === undefined) throw caught;
    return outcomeAnswer(fault.status, fault.issues);
  });
  const bytes = Buffer.from(answer.text);
  return {
    status: answer.status,
    body: only(bytes),
    sizeBytes: bytes.byteLength,
    contentType: FHIR_JSON,
    headers: answer.headers,
  };
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

export async function bodyText({ bodyStream }: Pick<HttpRequest, 'bodyStream'>): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let text = '';
  try {
    for await (const piece of bodyStream) text += decoder.decode(piece, { stream: true });
    return text + decoder.decode();
  } catch (caught) {
    if (caught instanceof TypeError) throw new FhirFault(400, 'structure', 'The body is not UTF-8.');
    throw caught;
  }
}

function conditionsOf({ headers }: Asked): Conditions {
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  const returns = /return=(minimal|representation|OperationOutcome)/.exec(one('prefer') ?? '')?.[1];
  return {
    ifMatch: one('if-match'),
    ifNoneMatch: one('if-none-match'),
    ifNoneExist: one('if-none-exist'),
    ...(returns === 'minimal' || returns === 'representation' || returns === 'OperationOutcome' ? { returns } : {}),
  };
}

/** What every interaction gets: guard by scope, audit, and the form of the answer. */
function interaction(
  deps: FhirRouteDeps,
  asked: Asked,
  { action, type, access }: { readonly action: string; readonly type: string; readonly access: 'read' | 'write' },
  work: () => Promise<FhirAnswer>,
): Promise<ByteResponse> {
  return answered(async () => {
    checkType(type);
    scopeGuard(asked.caller)(type, access);
    return recordAccess(deps, { caller: asked.caller, action, type, parameters: [...asked.searchParams.keys()] }, work);
  });
}

export function fhirRoutes(deps: FhirRouteDeps): Route[] {
  return [capabilityRoute(deps), ...readingRoutes(deps), ...writingRoutes(deps)];
}

function capabilityRoute(deps: FhirRouteDeps): Route {
  return defineRoute(FHIR_API.capabilities)({
    access: { kind: 'public', why: 'says what the server can do; holds no data' },
    errorBody: outcomeBody,
    handler: (asked) =>
      answered(async () => {
        const statement = capabilityStatement({ base: baseOf(asked), now: deps.clock.now(), version: VERSION });
        return { status: 200, text: writeJson(statement), headers: {} };
      }),
  });
}

function readingRoutes(deps: FhirRouteDeps): Route[] {
  const inner: InteractionDeps = deps;
  const reading = { access: RECORD_READERS, errorBody: outcomeBody } as const;
  const ask = (asked: Asked, action: string, type: string, work: () => Promise<FhirAnswer>) =>
    interaction(deps, asked, { action, type, access: 'read' }, work);
  const found = (asked: Asked, type: string, query: URLSearchParams) =>
    search(inner, readSearch(type, query, baseOf(asked)), baseOf(asked));
  return [
    defineRoute(FHIR_API.search)({
      ...reading,
      handler: (asked) =>
        ask(asked, 'search', asked.params.type, () => found(asked, asked.params.type, asked.searchParams)),
    }),
    defineRoute(FHIR_API.searchByPost)({
      ...reading,
      stream: true,
      handler: (asked) =>
        ask(asked, 'search', asked.params.type, async () => {
          const query = new URLSearchParams([...asked.searchParams, ...new URLSearchParams(await bodyText(asked))]);
          return found(asked, asked.params.type, query);
        }),
    }),
    defineRoute(FHIR_API.read)({
      ...reading,
      handler: (asked) => ask(asked, 'read', asked.params.type, () => read(inner, asked.params, conditionsOf(asked))),
    }),
    defineRoute(FHIR_API.readVersion)({
      ...reading,
      handler: (asked) =>
        ask(asked, 'read', asked.params.type, () => readOldVersion(inner, asked.params, asked.params.version)),
    }),
    defineRoute(FHIR_API.history)({
      ...reading,
      handler: (asked) =>
        ask(asked, 'history', asked.params.type, () =>
          history(inner, { ...asked.params, query: asked.searchParams, base: baseOf(asked) }),
        ),
    }),
    defineRoute(FHIR_API.historyOfType)({
      ...reading,
      handler: (asked) =>
        ask(asked, 'history', asked.params.type, () =>
          history(inner, { ...asked.params, query: asked.searchParams, base: baseOf(asked) }),
        ),
    }),
    defineRoute(FHIR_API.everything)({
      ...reading,
      handler: (asked) =>
        ask(asked, 'everything', 'Patient', async () => {
          scopeGuard(asked.caller)('*', 'read');
          return everything(inner, { id: asked.params.id, query: asked.searchParams, base: baseOf(asked) });
        }),
    }),
    defineRoute(FHIR_API.validate)({
      ...reading,
      stream: true,
      bodyLimitBytes: FHIR_BODY_BYTES_MAX,
      handler: (asked) =>
        ask(asked, 'validate', asked.params.type, async () =>
          validateOnly(asked.params.type, parseResource(await bodyText(asked), FHIR_JSON_LIMITS)),
        ),
    }),
  ];
}

function writingRoutes(deps: FhirRouteDeps): Route[] {
  const inner: InteractionDeps = deps;
  const writing = { access: RECORD_WRITERS, errorBody: outcomeBody } as const;
  const withBody = { ...writing, stream: true, bodyLimitBytes: FHIR_BODY_BYTES_MAX } as const;
  const ask = (asked: Asked, action: string, type: string, work: () => Promise<FhirAnswer>) =>
    interaction(deps, asked, { action, type, access: 'write' }, work);
  const resourceOf = async (asked: Asked): Promise<JsonObject> =>
    parseResource(await bodyText(asked), FHIR_JSON_LIMITS);
  const query = (asked: Asked): string => asked.searchParams.toString();
  return [
    defineRoute(FHIR_API.bundle)({
      ...withBody,
      handler: (asked) =>
        answered(async () => {
          const bundle = parseResource(await bodyText(asked), FHIR_BUNDLE_LIMITS);
          const guard: Guard = scopeGuard(asked.caller);
          const kind = isJsonObject(bundle) && bundle['type'] === 'batch' ? 'batch' : 'transaction';
          return recordAccess(deps, { caller: asked.caller, action: kind, type: 'Bundle', parameters: [] }, () =>
            answerBundle(inner, { bundle, base: baseOf(asked), guard }),
          );
        }),
    }),
    defineRoute(FHIR_API.create)({
      ...withBody,
      handler: (asked) =>
        ask(asked, 'create', asked.params.type, async () =>
          create(
            inner,
            { type: asked.params.type, resource: await resourceOf(asked), base: baseOf(asked) },
            conditionsOf(asked),
          ),
        ),
    }),
    defineRoute(FHIR_API.update)({
      ...withBody,
      handler: (asked) =>
        ask(asked, 'update', asked.params.type, async () =>
          update(
            inner,
            { name: asked.params, resource: await resourceOf(asked), base: baseOf(asked) },
            conditionsOf(asked),
          ),
        ),
    }),
    defineRoute(FHIR_API.conditionalUpdate)({
      ...withBody,
      handler: (asked) =>
        ask(asked, 'update', asked.params.type, async () => {
          const resource = await resourceOf(asked);
          const target = { type: asked.params.type, query: query(asked), resource, base: baseOf(asked) };
          return conditionalUpdate(inner, target, conditionsOf(asked));
        }),
    }),
    defineRoute(FHIR_API.remove)({
      ...writing,
      handler: (asked) =>
        ask(asked, 'delete', asked.params.type, () => remove(inner, asked.params, conditionsOf(asked))),
    }),
    defineRoute(FHIR_API.conditionalRemove)({
      ...writing,
      handler: (asked) =>
        ask(asked, 'delete', asked.params.type, () =>
          conditionalRemove(inner, { type: asked.params.type, query: query(asked), base: baseOf(asked) }),
        ),
    }),
  ];
}
