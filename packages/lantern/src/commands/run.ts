/** `lantern run`: start a federated run, follow it, stop it. */
import {
  type ApiClient,
  AppError,
  HUB_API,
  isFinal,
  parse,
  RUN_STATES,
  type Run,
  type RunId,
  type RunPlan,
  RunPlanSchema,
} from '@lantern/contract';
import { Command } from 'commander';
import { Type } from 'typebox';
import { type CommandContext, connected, withConnection } from '../cli/command-context.ts';
import type { Connection } from '../cli/connection.ts';
import { readJsonFile } from '../cli/json-file.ts';
import { table } from '../cli/output.ts';
import { siteIdsOf } from './hub-names.ts';
import { idArgument } from './id-argument.ts';

const RUN_WAIT_MS = 20_000; // one long poll

export function runCommand(context: CommandContext): Command {
  return new Command('run')
    .description('federated executions of a bundle')
    .addCommand(startCommand(context))
    .addCommand(watchCommand(context))
    .addCommand(listCommand(context))
    .addCommand(stopCommand(context));
}

/** As in the contract, but a person may write names. */
const PlanFileSchema = Type.Object(
  { ...RunPlanSchema.properties, sites: Type.Array(Type.String()) },
  { additionalProperties: false },
);

async function readPlanFile(api: ApiClient, file: string): Promise<RunPlan> {
  const written = await readJsonFile(file, PlanFileSchema, 'Run plan');
  const plan = { ...written, sites: await siteIdsOf(api, written.sites) };
  return parse(RunPlanSchema, plan, { what: `Run plan in ${file}` });
}

function startCommand(context: CommandContext): Command {
  return withConnection(new Command('start'))
    .description('start a run of an algorithm of a project')
    .argument('<project id>')
    .argument('<plan>', 'plan as JSON: algorithm, rounds, strategy, quorum …; sites by id or name')
    .action(
      connected(context, async ({ api }, { output, args: [projectId, file = ''] }) => {
        const run = await api.call(HUB_API.createRun, {
          params: { projectId: idArgument('ProjectId', projectId) },
          body: await readPlanFile(api, file),
        });
        output.result(run, `${run.runId} is ${run.state}. Follow it with: lantern run watch ${run.runId}`);
      }),
    );
}

function watchCommand(context: CommandContext): Command {
  return withConnection(new Command('watch'))
    .description('follow a run to its end; exit code 1 unless it completes')
    .argument('<run id>')
    .action(
      connected(context, async (connection, { output, args: [runId], signal }) => {
        const progress = output.progress('Rounds');
        const run = await followRun(connection, {
          runId: idArgument('RunId', runId),
          signal,
          onRound: (current) => {
            const done = current.rounds.filter((round) => round.state === 'closed').length;
            progress.update(done, roundsPlanned(current), current.rounds.at(-1)?.step ?? '');
          },
        });
        progress.end();
        output.result(run, describeRun(run));
        if (run.state !== 'completed')
          throw new AppError(
            'state.transition-refused',
            `${run.runId} is ${run.state} and will not complete; start another.`,
          );
      }),
    );
}

/** prepare + standardise + the algorithm's rounds + evaluate */
export function roundsPlanned(run: Run): number {
  return run.plan.rounds + 2 + (run.plan.standardisation === 'pooled' ? 1 : 0);
}

/** Follows a run until its state is final; `onRound` is called whenever something changed. */
export async function followRun(
  connection: Connection,
  options: { runId: RunId; signal?: AbortSignal; onRound?: (run: Run) => void },
): Promise<Run> {
  let run = await connection.api.call(HUB_API.readRun, { params: { runId: options.runId } });
  options.onRound?.(run);
  while (!isFinal(RUN_STATES, run.state)) {
    options.signal?.throwIfAborted();
    run = await connection.api.call(HUB_API.readRun, {
      params: { runId: options.runId },
      query: { waitMs: RUN_WAIT_MS, afterRounds: run.rounds.filter((round) => round.state === 'closed').length },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    options.onRound?.(run);
  }
  return run;
}

function describeRun(run: Run): string {
  const rows = (run.evaluation?.sites ?? []).map(({ siteId, metrics }) => [
    siteId,
    show(metrics.accuracy),
    show(metrics.auc),
    show(metrics.brier),
  ]);
  const combined = run.evaluation?.combined;
  if (combined !== undefined)
    rows.push(['combined', show(combined.accuracy), show(combined.auc), show(combined.brier)]);
  const metrics = rows.length === 0 ? '' : `\n${table([['site', 'accuracy', 'AUC', 'Brier'], ...rows])}`;
  return `${run.runId} is ${run.state}${run.message === undefined ? '' : `: ${run.message}`}${metrics}`;
}

function show(value: number | undefined): string {
  return value === undefined ? 'withheld' : value.toFixed(3);
}

function listCommand(context: CommandContext): Command {
  return withConnection(new Command('list'))
    .description('runs of a project')
    .argument('<project id>')
    .action(
      connected(context, async ({ api }, { output, args: [projectId] }) => {
        const { runs } = await api.call(HUB_API.listRuns, {
          params: { projectId: idArgument('ProjectId', projectId) },
        });
        const rows = runs.map((run) => [
          run.runId,
          run.plan.algorithm,
          run.state,
          `${run.rounds.length}/${roundsPlanned(run)}`,
          run.createdAt,
        ]);
        output.result({ runs }, table([['run', 'algorithm', 'state', 'rounds', 'started'], ...rows]));
      }),
    );
}

function stopCommand(context: CommandContext): Command {
  return withConnection(new Command('stop'))
    .description('stop a run')
    .argument('<run id>')
    .action(
      connected(context, async ({ api }, { output, args: [runId] }) => {
        const run = await api.call(HUB_API.stopRun, { params: { runId: idArgument('RunId', runId) } });
        output.result(run, `${run.runId} is ${run.state}.`);
      }),
    );
}
