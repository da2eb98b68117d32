/**
 * The named instants at which a test may kill a process. A fault point does nothing unless the process was started with
 * its name (setting `faultPoint`, e.g. "hub.round.folded:2" = the second time it is reached): then the process ends there
 * as by `kill -9`, or with "database@" before the name, the embedded database under it. Naming them in one table keeps the crash tests complete: a test reads this table and asserts that every
 * point was crossed and survived.
 */
export const FAULT_POINTS = [
  'hub.run.planned',
  'hub.round.opened',
  'hub.task.delivered',
  'hub.upload.chunk-written',
  'hub.answer.received',
  'hub.answer.committed',
  'hub.round.folding',
  'hub.round.folded',
  'hub.round.closed',
  'hub.model.signed',
  'site.task.received',
  'site.weights.downloaded',
  'site.task.performing',
  'site.task.computed',
  'site.answer.stored',
  'site.update.uploaded',
  'site.answer.delivered',
  'feed.message.stored',
  'feed.message.mapped',
  'feed.message.committed',
  'cdm.pass.copied',
  'cdm.pass.read',
  'cdm.pass.mapped',
  'cdm.pass.committed',
  'cdm.pass.numbered',
  'cdm.pass.published',
  'dataset-build.written',
  'dataset-build.registered',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];
