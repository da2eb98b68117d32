/** A researcher builds two bundles and drafts the project. */
import { HUB_API, type ProjectId } from '@lantern/contract';
import { type BuiltBundle, buildAnalysisBundle, buildGraphBundle } from '@lantern/runner';
import { pushBundle } from '../commands/bundle.ts';
import type { Story } from './demo.ts';
import { EXACT_ANALYSIS, NETWORK_MODEL, projectSpec } from './plans.ts';

export type DemoProject = { readonly projectId: ProjectId; readonly network: BuiltBundle };

export async function projectChapter({ narrator, federation }: Story): Promise<DemoProject> {
  narrator.chapter('A researcher drafts a project: purpose, data, algorithms by digest, what leaves, until when');
  const exact = buildAnalysisBundle({
    name: 'logistic-regression',
    version: '1.0.0',
    description: 'Newton-Raphson with ridge',
    analysis: EXACT_ANALYSIS,
  });
  const network = networkBundle();
  const bundles = {
    exact: await pushBundle(federation.researcher, exact),
    network: await pushBundle(federation.researcher, network),
  };
  const spec = projectSpec({ sites: federation.sites.map((site) => site.siteId), bundles, now: new Date() });
  const project = await federation.researcher.api.call(HUB_API.createProject, { body: spec });
  narrator.say(`Project ${project.projectId}, digest ${project.projectDigest.slice(0, 16)}.`);
  narrator.say(
    `Algorithms: logistic regression ${bundles.exact.slice(0, 16)} (built in, no code travels) and an ONNX training graph ${bundles.network.slice(0, 16)}.`,
  );
  narrator.say(`May leave: ${spec.egress.join(', ')}. Nothing else.`);
  narrator.fact('project', { projectId: project.projectId, projectDigest: project.projectDigest, bundles });
  return { projectId: project.projectId, network };
}

/** The algorithm of run B. */
export function networkBundle(): BuiltBundle {
  return buildGraphBundle({
    name: 'heart-network',
    version: '1.0.0',
    description: 'One linear layer with a sigmoid',
    model: NETWORK_MODEL,
    firstWeights: 'zeros',
  });
}
