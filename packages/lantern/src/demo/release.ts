/** The completed run becomes a signed model version; any change to it is detected. */
import { AppError, HUB_API, type RegisteredModelVersion, type Run } from '@lantern/contract';
import type { Story } from './demo.ts';
import { cardOf, INPUTS } from './heart-disease.ts';

export async function releaseChapter({ narrator, federation }: Story, run: Run): Promise<RegisteredModelVersion> {
  narrator.chapter('The run becomes a model version: weights, bundle, features, lineage, metrics and card, signed');
  const prepared = run.rounds[0]?.sites ?? [];
  const card = cardOf(prepared.reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0));
  const released = await federation.researcher.api.call(HUB_API.releaseModelVersion, {
    body: { runId: run.runId, model: 'heart-disease', inputs: INPUTS, card },
  });
  const document: unknown = JSON.parse(Buffer.from(released.envelope.payload, 'base64').toString('utf8'));
  if (typeof document !== 'object' || document === null)
    throw new AppError('internal', 'The model version is not a document.');
  narrator.say(
    `heart-disease version ${released.version} (${released.modelVersionId}), signed by key ${released.envelope.signatures[0]?.keyid.slice(0, 16) ?? '?'}….`,
  );
  narrator.say(`It carries: ${Object.keys(document).join(', ')}.`);
  narrator.fact('modelVersion', { modelVersionId: released.modelVersionId, version: released.version, document });
  return released;
}
