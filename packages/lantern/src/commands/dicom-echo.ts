/** `lantern dicom echo`: does a peer answer, and does it know us. */
import { AppError } from '@lantern/contract';
import { identifierContext, SOP_CLASSES, STATUS } from '@lantern/dicom';
import { Command } from 'commander';
import { type CommandContext, outputOf } from '../cli/command-context.ts';
import { type PeerOptions, peerOf, statusText, withAssociation, withPeer } from './dicom-peer.ts';

export function dicomEchoCommand(context: CommandContext): Command {
  return withPeer(new Command('echo'))
    .description('whether a peer answers (C-ECHO)')
    .action(async (address: string, options: PeerOptions) => {
      const peer = await peerOf(address, options);
      const contexts = [identifierContext(SOP_CLASSES.verification)];
      const startMs = performance.now();
      const answer = await withAssociation({ ...peer, contexts, signal: context.signal }, (client) => client.echo());
      if (answer.status !== STATUS.success) {
        throw new AppError('peer.refused', `The peer answered with status ${statusText(answer.status)}.`);
      }
      const tookMs = Math.round(performance.now() - startMs);
      outputOf(context, options).result(
        { answers: true, calledAe: peer.calledAe, tookMs },
        `${peer.calledAe} at ${address} answers (association and echo in ${tookMs} ms).`,
      );
    });
}
