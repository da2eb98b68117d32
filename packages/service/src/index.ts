export { type Clock, type ManualClock, manualClock, systemClock } from './clock.ts';
export { assertFreeBytes, FREE_BYTES_MIN, freeBytes, fromDiskError } from './disk.ts';
export { armFaultPoint, faultPoint } from './fault-point.ts';
export { createLogger, type Logger, type LogLevel } from './log.ts';
export { type AnyTx, type Database, openDatabase, type Tx, transactionOf } from './postgres/database.ts';
export { type EmbeddedPostgres, startEmbeddedPostgres } from './postgres/embedded.ts';
export { migrate } from './postgres/migrations.ts';
export { openTestDatabase, startTestPostgres, type TestPostgres } from './postgres/test-database.ts';
export { newId, newSecret } from './random.ts';
