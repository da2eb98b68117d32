/** `lantern hl7 listen`: receives HL7 v2 over MLLP into a folder, without any other set-up, and shows what comes. */
import path from 'node:path';
import { AppError } from '@lantern/contract';
import {
  encodeAcknowledgement,
  type Header,
  Hl7Error,
  type MllpPeer,
  parseMessage,
  readHeader,
  salvageHeader,
  startMllpServer,
  type Verdict,
  wantedCodes,
} from '@lantern/hl7';
import { makePrivateFolder } from '@lantern/service';
import { hostList, isListed } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';
import { settingNumber } from '../cli/number-option.ts';
import { printable } from '../cli/output.ts';
import { type ListenTlsOptions, readListenTls } from './hl7-tls.ts';
import { type JournalEntry, type MessageJournal, openMessageJournal } from './message-journal.ts';

type ListenOptions = ListenTlsOptions & {
  readonly folder: string;
  readonly port: string;
  readonly host: string;
  readonly from: readonly string[];
  readonly json?: boolean;
};

const LOOPBACK = ['127.0.0.1', '::1'];
const JOURNAL = 'messages.jsonl';

export function hl7ListenCommand(context: CommandContext): Command {
  return withJson(new Command('listen'))
    .description('receive HL7 v2 messages over MLLP into a folder: each is on disk before it is acknowledged')
    .requiredOption('--folder <folder>', 'where they are kept, as lines of messages.jsonl (made if missing)')
    .option('--port <number>', 'MLLP port (0: any free one)', '2575')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option(
      '--from <address>',
      'who may send besides this machine: an address or network; repeat for more',
      collect,
      [],
    )
    .option('--cert-file <file>', 'listen by TLS with this certificate, PEM (with --key-file)')
    .option('--key-file <file>', 'its key, PEM')
    .option('--ca-file <file>', 'with it, a sender must show a certificate of this authority, PEM')
    .action(async (options: ListenOptions) => {
      const { folder, host } = options;
      const port = settingNumber(options.port);
      if (!Number.isInteger(port) || port < 0 || port > 65_535) {
        throw new AppError('input.invalid', '--port: must be a whole number from 0 to 65535.', { field: 'port' });
      }
      const tls = await readListenTls(options);
      const hosts = hostList([...LOOPBACK, ...options.from], '--from');
      await makePrivateFolder(folder);
      const journal = await openMessageJournal(path.join(folder, JOURNAL));
      const output = outputOf(context, options);
      const listener = listenerFor(journal, (entry) => show(context, entry, output.json));
      const server = await startMllpServer({
        host,
        port,
        ...(tls === undefined ? {} : { tls }),
        admit: ({ address }) => isListed(hosts, address),
        receive: listener.receive,
        receiveBroken: ({ rule, head }) => listener.refuse(head, `The frame is broken: ${rule}.`),
        onProblem: (error) => output.note(`A connection had a problem: ${error instanceof Error ? error.message : ''}`),
      }).catch(async (caught: unknown) => {
        await journal.close();
        throw new AppError('set-up.failed', `Port ${port} on ${host} cannot be listened on.`, { cause: caught });
      });
      const ready = { ready: true, host, port: server.port, folder };
      context.stdout.write(
        output.json ? `${JSON.stringify(ready)}\n` : `Listening at ${host}:${server.port}. Stop it with Ctrl-C.\n`,
      );
      await stopped(context.signal);
      await server.close();
      await journal.close();
    });
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function show({ stdout }: CommandContext, entry: JournalEntry, json: boolean): void {
  const { content: _content, ...facts } = entry;
  if (json) {
    stdout.write(`${JSON.stringify(facts)}\n`);
    return;
  }
  const { sequence, receivedAt, messageCode, triggerEvent, sendingApplication, sendingFacility, controlId } = facts;
  const type = triggerEvent === '' ? messageCode : `${messageCode}^${triggerEvent}`;
  const sender = [sendingApplication, sendingFacility].filter((part) => part !== '').join(' at ');
  stdout.write(
    `${printable(`${sequence}  ${receivedAt}  ${type}  ${controlId}  from ${sender}  ${facts.byteCount} bytes`)}\n`,
  );
}

function listenerFor(journal: MessageJournal, onStored: (entry: JournalEntry) => void) {
  let answerCount = 0;
  const answers = (header: Header, verdict: Verdict): Buffer[] =>
    wantedCodes(header, verdict).map((code) => {
      answerCount += 1;
      const options = { at: new Date(), controlId: `L${process.pid}-${answerCount}` };
      return encodeAcknowledgement(header, { verdict, code }, options);
    });
  const refuse = (head: Uint8Array, reason: string): Buffer[] => {
    const header = salvageHeader(head);
    return header === undefined ? [] : answers(header, { kind: 'rejected', reason, code: '100' });
  };
  const receive = async (bytes: Buffer, { address }: MllpPeer): Promise<Buffer[]> => {
    const header = headerOf(bytes);
    if (typeof header === 'string') return refuse(bytes, header);
    const { sendingApplication, sendingFacility, controlId, messageCode, triggerEvent } = header;
    const facts = { sendingApplication, sendingFacility, controlId, messageCode, triggerEvent };
    const kept = await journal.add({ receivedAt: new Date().toISOString(), address, ...facts, bytes });
    if (kept.outcome === 'stored') onStored(kept.entry);
    return answers(header, { kind: 'accepted' });
  };
  return { receive, refuse };
}

/** The reason why it has none, where it has none. */
function headerOf(bytes: Buffer): Header | string {
  try {
    return readHeader(parseMessage(bytes));
  } catch (caught) {
    if (caught instanceof Hl7Error) return caught.message;
    throw caught;
  }
}
