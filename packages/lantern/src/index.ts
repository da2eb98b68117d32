/** What tests and benchmarks use of the command line: real processes, real connections, the demo's data. */
export { type Connection, connect } from './cli/connection.ts';
export { uploadFile } from './cli/upload.ts';
export { pushBundle } from './commands/bundle.ts';
export { followRun } from './commands/run.ts';
export { type DemoSite, type Federation, startFederation } from './demo/federation.ts';
export { HOSPITALS, type Hospital, hospitalCsv } from './demo/fixtures.ts';
export { DATASET, FEATURES, INPUTS } from './demo/heart-disease.ts';
export { heartRows } from './demo/heart-rows.ts';
export { NETWORK_LOCAL, NETWORK_MODEL, NETWORK_ROUNDS } from './demo/plans.ts';
export { type ProcessSettings, runLantern, type ServerProcess, startServer } from './demo/processes.ts';
export { networkBundle } from './demo/project.ts';
