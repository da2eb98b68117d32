/**
 * Takes messages in, and says so only of what will still be there after the power fails.
 *
 *   frame ──► sender admitted ──► readable, of a known processing id ──► stored, committed ──► AA or CA
 *               │                     │                                   └── known already ──► AA or CA again, nothing else
 *               └── AR or CR          └── AR or CR
 *
 * A message is known again by its sender, its control id and its bytes. Other bytes under the id are another message, for senders count
 * anew; whether that was shortly before is kept with it.
 *
 * Where the disk is full or the database away, nothing is said and the connection is closed: a sender that has no answer sends
 * again, one that is refused may not.
 */
import { hash } from 'node:crypto';
import { AppError } from '@lantern/contract';
import {
  encodeAcknowledgement,
  type FramingRule,
  type Header,
  Hl7Error,
  type Message,
  type MllpPeer,
  parseMessage,
  readHeader,
  salvageHeader,
  type Verdict,
  wantedCodes,
} from '@lantern/hl7';
import { type Clock, type Database, faultPoint, type Logger } from '@lantern/service';
import type { FeedSettings } from './feed-settings.ts';
import { createIntakeWriter } from './intake-writer.ts';
import type { PatientHasher } from './patient-keys.ts';
import type { FeedSenders } from './senders.ts';

export type Intake = {
  /** Resolves with the acknowledgements. Throws `storage.full`, `database.unavailable`. */
  receive(content: Buffer, peer: MllpPeer): Promise<readonly Buffer[]>;
  receiveBroken(broken: { rule: FramingRule; head: Buffer }, peer: MllpPeer): readonly Buffer[];
  close(): Promise<void>;
};

export type IntakeDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: Pick<FeedSettings, 'processingIds'>;
  readonly senders: FeedSenders;
  readonly hashPatient: PatientHasher;
  /** Tells the lives of listeners apart, whose connections count from 1. */
  readonly listenerId: string;
  /** Called after each commit of a new message. */
  readonly onStored: () => void;
};

export function createIntake(deps: IntakeDeps): Intake {
  const { clock, log, senders } = deps;
  const writer = createIntakeWriter(deps.database);
  let answerCount = 0;

  const answers = (header: Header, verdict: Verdict): Buffer[] =>
    wantedCodes(header, verdict).map((code) => {
      answerCount += 1;
      const controlId = `${deps.listenerId}-${answerCount}`;
      return encodeAcknowledgement(header, { verdict, code }, { at: clock.now(), controlId });
    });

  /** To a sender that is not known, not even its own words are repeated: it is told nothing. */
  const refuse = (head: Uint8Array, peer: MllpPeer, reason: string): Buffer[] => {
    log.warn({ address: peer.address, reason }, 'an HL7 message was refused');
    const header = salvageHeader(head);
    if (header === undefined || senders.senderOf(peer.address, header) === undefined) return [];
    return answers(header, { kind: 'rejected', reason, code: '100' });
  };

  async function receive(content: Buffer, peer: MllpPeer): Promise<readonly Buffer[]> {
    const read = readable(content);
    if ('problem' in read) return refuse(content, peer, read.problem);
    const { message, header } = read;
    const sender = senders.senderOf(peer.address, header);
    const refusal = sender === undefined ? NOT_ADMITTED : unwanted(header, deps.settings);
    if (sender === undefined || refusal !== undefined) {
      log.warn({ address: peer.address, reason: (refusal ?? NOT_ADMITTED).reason }, 'an HL7 message was refused');
      return answers(header, refusal ?? NOT_ADMITTED);
    }
    const outcome = await writer.write({
      ...header,
      connection: `${sender.name}/${deps.listenerId}/${peer.connection}`,
      receivedAt: clock.now(),
      content,
      contentDigest: hash('sha256', content, 'buffer'),
      ...deps.hashPatient(message, sender),
    });
    faultPoint('feed.message.stored');
    if (outcome === 'stored') deps.onStored();
    return answers(header, { kind: 'accepted' });
  }

  return {
    async receive(content, peer) {
      try {
        return await receive(content, peer);
      } catch (caught) {
        if (!(caught instanceof AppError) || caught.code !== 'input.invalid') throw caught;
        return refuse(content, peer, caught.message);
      }
    },
    receiveBroken: ({ rule, head }, peer) => refuse(head, peer, `The frame is broken: ${rule}.`),
    close: () => writer.close(),
  };
}

const NOT_ADMITTED: Verdict & { kind: 'rejected' } = {
  kind: 'rejected',
  code: '207',
  reason: 'MSH-3, MSH-4: this sender is not admitted here.',
};

function unwanted(
  header: Header,
  { processingIds }: IntakeDeps['settings'],
): (Verdict & { kind: 'rejected' }) | undefined {
  if (header.messageCode === 'ACK') return { kind: 'rejected', code: '200', reason: 'MSH-9: nothing was asked.' };
  const isTaken = header.processingId === '' || processingIds.includes(header.processingId);
  if (isTaken) return undefined;
  return { kind: 'rejected', code: '202', reason: 'MSH-11: messages of this processing id are not taken here.' };
}

function readable(content: Buffer): { message: Message; header: Header } | { problem: string } {
  try {
    const message = parseMessage(content);
    return { message, header: readHeader(message) };
  } catch (caught) {
    if (caught instanceof Hl7Error) return { problem: caught.message };
    throw caught;
  }
}
