/** A site with generated records, whom a scripted hub asks. */
import { type AnswerBody, type Characteristic, type ProjectId, SITE_API, type SiteTask } from '@lantern/contract';
import { newId } from '@lantern/service';
import type { SiteConfig } from '../src/config.ts';
import { type Engine, type EngineCdm, makeCdm } from './cdm-engines.ts';
import { projectSpec } from './documents.ts';
import { recordsStatements } from './records-cdm.ts';
import { type ScriptedHub, startScriptedHub } from './scripted-hub.ts';
import { startTestSite, type TestSite } from './site-harness.ts';

/** Stands where a record system has names. */
export const TOKEN = 'QTOKENQ7F3A';
/** Beside the budget of a project. */
const GRANTED = 170;

export class RecordsSite {
  hub: ScriptedHub;
  site: TestSite;
  cdm: EngineCdm;

  constructor(hub: ScriptedHub, site: TestSite, cdm: EngineCdm) {
    this.hub = hub;
    this.site = site;
    this.cdm = cdm;
  }

  static async start(
    engine: Engine,
    name: string,
    change: {
      statements?: readonly string[];
      records?: Partial<NonNullable<SiteConfig['records']>>;
      settings?: Partial<SiteConfig>;
    } = {},
  ): Promise<RecordsSite> {
    const { statements = recordsStatements({ token: TOKEN }) } = change;
    const cdm = await makeCdm(engine, statements, { isStrict: false });
    const hub = await startScriptedHub();
    const records = { cdm: cdm.where, dataset: 'records', feasibility: 'any-project' as const, ...change.records };
    const site = await startTestSite(hub, name, { records, ...change.settings });
    return new RecordsSite(hub, site, cdm);
  }

  head(projectId: ProjectId = newId('ProjectId')) {
    return {
      schema: 'lantern.task/1' as const,
      taskId: newId('TaskId'),
      siteId: this.hub.siteId(),
      projectId,
      createdAt: new Date().toISOString(),
      dataset: 'records',
    };
  }

  async send(task: SiteTask): Promise<AnswerBody> {
    this.hub.send(task);
    return (await this.hub.answerTo(task.taskId)).body;
  }

  cohort(definition: Record<string, unknown>, describe: Characteristic[] = [], projectId?: ProjectId) {
    return this.send({ ...this.head(projectId), kind: 'cohort', cohort: { definition, describe } });
  }

  /** Both budgets full again. */
  refill() {
    return this.site.db.deleteFrom('question_charge').execute();
  }

  /** A project that this site approved, with more than the usual budget. */
  async approved(): Promise<ProjectId> {
    const spec = projectSpec(this.hub.siteId(), { datasets: ['records'], algorithms: [] });
    const projectId = await this.site.project(this.hub, spec, { verdict: 'approved', reason: 'ok' });
    const body = { dataset: 'records', more: GRANTED, reason: 'looked at it' };
    await this.site.as('governance').call(SITE_API.grantQuestions, { params: { projectId }, body });
    return projectId;
  }

  async close(): Promise<void> {
    await this.site.close();
    await this.hub.close();
    await this.cdm.close();
  }
}
