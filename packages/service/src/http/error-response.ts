/**
 * One form for every failure that leaves a server: `{error: {code, message, hint, field?, correlationId}}`.
 *
 * What we did not foresee becomes `internal` with a fixed text: the cause goes to the log, never to the caller, since it
 * may hold what the caller must not see.
 */
import { STATUS_CODES } from 'node:http';
import { AppError, ERROR_TABLE, type ErrorCode, toAppError } from '@lantern/contract';
import { type Static, Type } from 'typebox';
import { HEADER_BYTES_MAX } from './limits.ts';

export const ErrorResponseSchema = Type.Object({
  error: Type.Object({
    code: Type.String({ description: 'names the rule that was broken' }),
    message: Type.String({ description: 'what and where' }),
    hint: Type.String({ description: 'what to do about it' }),
    field: Type.Optional(Type.String({ description: 'JSON pointer or header name' })),
    correlationId: Type.String({ description: 'finds this request in the log' }),
  }),
});
export type ErrorResponse = Static<typeof ErrorResponseSchema>;

export function errorResponse(error: AppError, correlationId: string): ErrorResponse {
  const message = error.code === 'internal' ? 'An unexpected fault occurred.' : error.message;
  const field = error.code === 'internal' || error.field === undefined ? {} : { field: error.field };
  return { error: { code: error.code, message, hint: error.hint, ...field, correlationId } };
}

/** Faults that Fastify finds by itself before a handler runs, by its codes. */
const FRAMEWORK_FAULTS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['input.too-large', 'The body is larger than this operation accepts.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['input.unsupported', 'The content type is not one that this operation accepts.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['input.invalid', 'The content type is JSON but the body is empty.'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['input.invalid', 'The body is not JSON.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['input.invalid', 'The body has another length than Content-Length says.'],
  FST_ERR_BAD_URL: ['input.invalid', 'The path is not a valid URL path.'],
  FST_ERR_MAX_PARAM_LENGTH: ['input.invalid', 'A path parameter is too long.'],
  ECONNRESET: ['input.invalid', 'The connection ended before the request did.'],
  ERR_STREAM_PREMATURE_CLOSE: ['input.invalid', 'The connection ended before the request did.'],
};

/** What the operation accepts, as far as it is known. */
type Accepted = { readonly bodyBytesMax: number | undefined; readonly types?: readonly string[] };

export function fromServerError(caught: unknown, { bodyBytesMax, types = [] }: Accepted): AppError {
  if (caught instanceof AppError) return caught;
  if (caught instanceof Error && 'code' in caught && typeof caught.code === 'string') {
    if (caught.code === 'FST_ERR_CTP_BODY_TOO_LARGE' && bodyBytesMax !== undefined) {
      const message = `The body is larger than the ${bodyBytesMax} bytes that this operation accepts.`;
      return new AppError('input.too-large', message, { cause: caught });
    }
    if (caught.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' && types.length > 0) {
      const message = `This operation takes ${types.join(' or ')}.`;
      return new AppError('input.unsupported', message, { field: 'content-type', cause: caught });
    }
    const fault = FRAMEWORK_FAULTS[caught.code];
    if (fault !== undefined) return new AppError(fault[0], fault[1], { cause: caught });
  }
  return toAppError(caught);
}

/** Faults of the HTTP parser, where no request object exists yet. */
const PARSER_FAULTS: Readonly<Record<string, readonly [number, ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'input.too-large', `The request headers are larger than ${HEADER_BYTES_MAX} bytes.`],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'input.invalid', 'The request did not arrive in time.'],
};

/** The raw answer to bytes that are no HTTP request; the connection is closed after it. */
export function parserFaultAnswer(code: string, correlationId: string): string {
  const [status, errorCode, message] = PARSER_FAULTS[code] ?? [400, 'input.invalid', 'This is not an HTTP request.'];
  const error: ErrorResponse['error'] = { code: errorCode, message, hint: ERROR_TABLE[errorCode].hint, correlationId };
  const body = JSON.stringify({ error });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
