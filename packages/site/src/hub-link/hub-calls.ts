/** What this site says to its hub, by name: the capabilities get these functions and not the door itself. */
import type {
  AskedProject,
  BlobRef,
  DatasetOffer,
  ModelVersionId,
  RegisteredModelVersion,
  SignedEnvelope,
} from '@lantern/contract';
import type { BlobStore } from '@lantern/service';
import type { Outbound } from './outbound.ts';
import { downloadBlob } from './transfer.ts';

export function hubCallsOf(outbound: Outbound, blobs: BlobStore) {
  return {
    async sendOffers(datasets: DatasetOffer[], signal: AbortSignal): Promise<void> {
      await outbound.call('offerDatasets', { body: { datasets }, signal });
    },
    async askedProjects(signal: AbortSignal): Promise<readonly AskedProject[]> {
      return (await outbound.call('listAskedProjects', { signal })).projects;
    },
    async sendDecision(envelope: SignedEnvelope, signal: AbortSignal): Promise<void> {
      await outbound.call('deliverDecision', { body: envelope, signal });
    },
    async anchorAudit(envelope: SignedEnvelope, signal: AbortSignal): Promise<void> {
      await outbound.call('anchorAudit', { body: envelope, signal });
    },
    readModelVersion: (modelVersionId: ModelVersionId, signal: AbortSignal): Promise<RegisteredModelVersion> =>
      outbound.call('siteReadModelVersion', { params: { modelVersionId }, signal }),
    fetchBlob: (blob: BlobRef, signal: AbortSignal): Promise<void> =>
      downloadBlob(outbound, blobs, { ...blob, signal }),
  };
}
