/**
 * The FHIR R4 interface of a site: the paths are the standard's. Resources go in and out as their own text (a JSON parser in between
 * would change their numbers), so none of it has a schema here.
 */
import { Type } from 'typebox';
import { endpoint } from './endpoint.ts';

const FHIR_JSON = 'application/fhir+json';
const JSON_TYPES = [FHIR_JSON, 'application/json'] as const;

const TypeSchema = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z]+$' });
const IdSchema = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9.-]+$' });
const TYPE = Type.Object({ type: TypeSchema });
const INSTANCE = Type.Object({ type: TypeSchema, id: IdSchema });
const VERSION = Type.Object({ type: TypeSchema, id: IdSchema, version: IdSchema });
const EXPORT = Type.Object({ exportId: IdSchema });

const out = { responseTypes: [FHIR_JSON] } as const;
const resourceIn = { ...out, requestTypes: JSON_TYPES } as const;
const form = { ...out, requestTypes: ['application/x-www-form-urlencoded'] } as const;

export const FHIR_API = {
  capabilities: endpoint({ ...out, method: 'GET', path: '/fhir/metadata', summary: 'FHIR: what this server can do' }),
  bundle: endpoint({ ...resourceIn, method: 'POST', path: '/fhir', summary: 'FHIR: transaction or batch' }),
  search: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/:type',
    params: TYPE,
    openQuery: true,
    summary: 'FHIR: search',
  }),
  searchByPost: endpoint({
    ...form,
    method: 'POST',
    path: '/fhir/:type/_search',
    params: TYPE,
    openQuery: true,
    summary: 'FHIR: search',
  }),
  create: endpoint({ ...resourceIn, method: 'POST', path: '/fhir/:type', params: TYPE, summary: 'FHIR: create' }),
  conditionalUpdate: endpoint({
    ...resourceIn,
    method: 'PUT',
    path: '/fhir/:type',
    params: TYPE,
    openQuery: true,
    summary: 'FHIR: update of the one that matches',
  }),
  conditionalRemove: endpoint({
    ...out,
    method: 'DELETE',
    path: '/fhir/:type',
    params: TYPE,
    openQuery: true,
    summary: 'FHIR: delete of the one that matches',
  }),
  read: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/:type/:id',
    params: INSTANCE,
    openQuery: true,
    summary: 'FHIR: read',
  }),
  readVersion: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/:type/:id/_history/:version',
    params: VERSION,
    summary: 'FHIR: vread',
  }),
  update: endpoint({
    ...resourceIn,
    method: 'PUT',
    path: '/fhir/:type/:id',
    params: INSTANCE,
    summary: 'FHIR: update',
  }),
  remove: endpoint({ ...out, method: 'DELETE', path: '/fhir/:type/:id', params: INSTANCE, summary: 'FHIR: delete' }),
  history: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/:type/:id/_history',
    params: INSTANCE,
    openQuery: true,
    summary: 'FHIR: history of a resource',
  }),
  historyOfType: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/:type/_history',
    params: TYPE,
    openQuery: true,
    summary: 'FHIR: history of a type',
  }),
  validate: endpoint({
    ...resourceIn,
    method: 'POST',
    path: '/fhir/:type/$validate',
    params: TYPE,
    summary: 'FHIR: $validate',
  }),
  everything: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/Patient/:id/$everything',
    params: Type.Object({ id: IdSchema }),
    openQuery: true,
    summary: 'FHIR: all of a patient',
  }),
  exportSystem: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/$export',
    openQuery: true,
    summary: 'FHIR Bulk Data: export of all',
  }),
  exportPatients: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/Patient/$export',
    openQuery: true,
    summary: 'FHIR Bulk Data: export of all patients',
  }),
  exportStatus: endpoint({
    ...out,
    method: 'GET',
    path: '/fhir/$export-status/:exportId',
    params: EXPORT,
    summary: 'FHIR Bulk Data: status',
  }),
  exportCancel: endpoint({
    ...out,
    method: 'DELETE',
    path: '/fhir/$export-status/:exportId',
    params: EXPORT,
    summary: 'FHIR Bulk Data: cancel',
  }),
  exportFile: endpoint({
    method: 'GET',
    path: '/fhir/$export-files/:exportId/:file',
    params: Type.Object({ exportId: IdSchema, file: Type.String({ pattern: '^[A-Za-z]+\\.ndjson$', maxLength: 80 }) }),
    summary: 'FHIR Bulk Data: file',
    responseTypes: ['application/fhir+ndjson'],
  }),
  smartConfiguration: endpoint({
    method: 'GET',
    path: '/fhir/.well-known/smart-configuration',
    summary: 'SMART: how to be authorised',
    responseTypes: ['application/json'],
  }),
  smartToken: endpoint({
    method: 'POST',
    path: '/fhir/auth/token',
    summary: 'SMART backend services: access token for a signed assertion',
    requestTypes: ['application/x-www-form-urlencoded'],
    responseTypes: ['application/json'],
  }),
} as const;

/** A program that may ask for tokens of SMART backend services. */
export const NewFhirClientSchema = Type.Object(
  {
    clientId: Type.String({ pattern: '^[\\x21-\\x7e]{1,200}$' }),
    jwks: Type.Object(
      { keys: Type.Array(Type.Record(Type.String(), Type.Unknown()), { minItems: 1, maxItems: 10 }) },
      { additionalProperties: false, description: 'public keys as JSON Web Key Set' },
    ),
    scopes: Type.Array(Type.String({ pattern: '^system/(\\*|[A-Z][A-Za-z]+)\\.(read|write|\\*)$' }), {
      minItems: 1,
      maxItems: 200,
    }),
  },
  { additionalProperties: false },
);

const FhirClientSchema = Type.Object({
  clientId: Type.String(),
  scopes: Type.Array(Type.String()),
  addedAt: Type.String(),
});

export const FHIR_CLIENT_API = {
  listFhirClients: endpoint({
    method: 'GET',
    path: '/api/v1/fhir-clients',
    summary: 'Programs that may ask for tokens of SMART backend services',
    response: Type.Object({ clients: Type.Array(FhirClientSchema) }),
  }),
  addFhirClient: endpoint({
    method: 'POST',
    path: '/api/v1/fhir-clients',
    summary: 'Register a program, or give it other keys and scopes',
    body: NewFhirClientSchema,
    response: FhirClientSchema,
  }),
  removeFhirClient: endpoint({
    method: 'DELETE',
    path: '/api/v1/fhir-clients/:clientId',
    summary: 'Remove a program; its tokens end at once',
    params: Type.Object({ clientId: Type.String({ minLength: 1, maxLength: 200 }) }),
    response: Type.Object({ removed: Type.Boolean() }),
  }),
} as const;
