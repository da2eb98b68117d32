export { type Accounts, createAccounts, SESSION_MS, type SignInResult, TOKEN_MS_MAX } from './accounts/accounts.ts';
export { type BootstrapResult, bootstrapAdmin } from './accounts/bootstrap-admin.ts';
export { createPasswordHasher, type PasswordHasher, type ScryptCost } from './accounts/password.ts';
export { accountRoutes } from './accounts/routes.ts';
export {
  appendAudit,
  auditRecords,
  changeAudited,
  openAuditHead,
  readAudit,
  readAuditHead,
  type SignedAuditHead,
  signAuditHead,
} from './audit/audit-log.ts';
export type { AuditHead, NewAudit } from './audit/audit-record.ts';
export {
  type AuditFault,
  type AuditVerdict,
  auditLines,
  readAuditLines,
  verifyAudit,
  verifyAuditRecords,
} from './audit/audit-verifier.ts';
export { auditRoutes } from './audit/routes.ts';
export {
  type BlobReader,
  type BlobSource,
  type BlobStore,
  type BlobStoreOptions,
  openBlobStore,
} from './blobs/blob-store.ts';
export type { BlobWriter, StoredBlob } from './blobs/blob-writer.ts';
export { makeFolder, removeIfThere, syncFolder } from './blobs/durable-file.ts';
export { inlineBlob, inlineBytes } from './blobs/inline-blob.ts';
export { type Clock, type ManualClock, manualClock, systemClock } from './clock.ts';
export { loadConfig, redactConfig } from './config.ts';
export { makeDataFolder, makeNamedFolder } from './data-folder.ts';
export { assertFreeBytes, FREE_BYTES_MIN, freeBytes, fromDiskError } from './disk.ts';
export { armFaultPoint, exposeDatabase, faultPoint } from './fault-point.ts';
export type { Authenticators, RequestIdentity } from './http/authentication.ts';
export { HEALTH, type MetricsSource, READY, type ReadyCheck } from './http/built-in-routes.ts';
export { type ByteRange, parseByteRange } from './http/byte-range.ts';
export {
  createHttpClient,
  type Download,
  type HttpClient,
  type HttpClientOptions,
  type JsonCall,
  type Upload,
} from './http/client.ts';
export { type ErrorResponse, ErrorResponseSchema } from './http/error-response.ts';
export { gatheredBytes } from './http/gathered-bytes.ts';
export {
  type Access,
  type ByteResponse,
  type Caller,
  type CdsCaller,
  defineRoute,
  type ErrorBody,
  type HandlerResult,
  type HttpRequest,
  type Principal,
  type Route,
  type RouteOptions,
  type SiteCaller,
  type UserCaller,
} from './http/route.ts';
export { accessTable, assertRouteAuthorisation } from './http/route-authorisation-check.ts';
export { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts';
export {
  checkBodyDigest,
  contentDigestHeader,
  digestCheckedBody,
  EMPTY_BODY_DIGEST,
  parseContentDigest,
} from './identity/content-digest.ts';
export { documentDigest, sha256 } from './identity/digest.ts';
export { openEnvelope, type SignerKey, signEnvelope } from './identity/envelope.ts';
export {
  type KeyLookup,
  newNonce,
  type SignatureVerifier,
  signRequest,
  type VerifiedRequest,
  verifyRequest,
} from './identity/http-signature.ts';
export {
  generateKeyPair,
  type KeyPair,
  loadKeyPair,
  loadOrCreateKeyPair,
  type PublicKey,
  publicKeyFromPem,
} from './identity/key-pair.ts';
export { createNonceStore, type NonceStore } from './identity/nonce-store.ts';
export { readSecretFile, writeSecretFile } from './identity/secret-file.ts';
export { migrateService } from './identity/service-migrations.ts';
export { SIGNATURE_SKEW_MS_MAX } from './identity/signature-limits.ts';
export { createLogger, type Logger, type LogLevel } from './log.ts';
export { createMetrics, type Metrics } from './metrics.ts';
export {
  bigintArray,
  booleanArray,
  doubleArray,
  integerArray,
  textArray,
  timeArray,
} from './postgres/binary-array.ts';
export { isClusterMade } from './postgres/cluster.ts';
export { type AnyTx, type Database, openDatabase, type Tx, transactionOf } from './postgres/database.ts';
export { type EmbeddedPostgres, startEmbeddedPostgres } from './postgres/embedded.ts';
export { migrate } from './postgres/migrations.ts';
export { openReadOnlyConnection, type ReadOnlyConnection, type TextRow } from './postgres/read-only-connection.ts';
export { openTestDatabase, startTestPostgres, type TestPostgres } from './postgres/test-database.ts';
export { makePrivateFolder } from './private-folder.ts';
export { createQueue, enqueue, JOB_PAYLOAD_BYTES_MAX, migrateQueue, type NewJob, type Queue } from './queue/queue.ts';
export type { FailedJob, QueueTask, TaskContext } from './queue/work.ts';
export { newId, newSecret } from './random.ts';
export { createShutdown, type Shutdown } from './shutdown.ts';
