/** What the hub asked and what this site answered: the record a data engineer or governance lead reads. */
import { SITE_API, type SiteActivity } from '@lantern/contract';
import { defineRoute, type Route } from '@lantern/service';
import type { Exchange } from '../exchange/exchange.ts';
import { PROJECT_READERS } from '../roles.ts';

const ACTIVITY_COUNT_MAX = 500; // the newest; the audit log has everything

type NewestTasks = Awaited<ReturnType<Exchange['listNewest']>>;

export function activityRoutes(exchange: Pick<Exchange, 'listNewest'>): Route[] {
  return [
    defineRoute(SITE_API.listActivity)({
      access: PROJECT_READERS,
      handler: async () => ({ tasks: (await exchange.listNewest(ACTIVITY_COUNT_MAX)).map(asActivity) }),
    }),
  ];
}

function asActivity(row: NewestTasks[number]): SiteActivity {
  return {
    taskId: row.task_id,
    kind: row.kind,
    projectId: row.project_id,
    ...(row.run_id === null ? {} : { runId: row.run_id }),
    ...(row.round === null ? {} : { round: row.round }),
    ...(row.step === null ? {} : { step: row.step }),
    state: row.state,
    ...(row.answer_kind === null ? {} : { answer: row.answer_kind }),
    receivedAt: row.received_at.toISOString(),
    ...(row.delivered_at === null ? {} : { deliveredAt: row.delivered_at.toISOString() }),
  };
}
