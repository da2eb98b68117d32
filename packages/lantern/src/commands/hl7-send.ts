/**
 * `lantern hl7 send`: messages of files to a receiver by MLLP, in their order, each again until it is acknowledged. A message that is
 * refused stops no other; one that is not acknowledged at all stops the rest, since what follows may rest on it.
 */
import { readFile } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import {
  type Acknowledgement,
  createMllpSender,
  Hl7Error,
  type MllpSender,
  parseMessage,
  readHeader,
  splitMessages,
} from '@lantern/hl7';
import { Command } from 'commander';
import { type CommandContext, outputOf, withJson } from '../cli/command-context.ts';
import { requireFile } from '../cli/file-fault.ts';
import { settingNumber } from '../cli/number-option.ts';
import { type Progress, printable } from '../cli/output.ts';
import { readSendTls, type SendTlsOptions } from './hl7-tls.ts';

type SendOptions = SendTlsOptions & {
  readonly to: string;
  readonly attempts: string;
  readonly timeout: string;
  readonly json?: boolean;
};

const ADDRESS = /^(?<host>\[[^\]]+\]|[^:]+):(?<port>\d{1,5})$/;
const ATTEMPTS_MAX = 20;
const TIMEOUT_SECONDS_MAX = 3600;

export function hl7SendCommand(context: CommandContext): Command {
  return withJson(new Command('send'))
    .description('messages of files to a receiver by MLLP, each again until it is acknowledged')
    .argument('<files...>', 'files with one message or several, as text or framed')
    .requiredOption('--to <host:port>', 'where the receiver listens')
    .option('--attempts <count>', 'how often each is sent at most', '5')
    .option('--timeout <seconds>', 'how long an acknowledgement is waited for', '30')
    .option('--tls', 'by TLS')
    .option('--ca-file <file>', 'certificate authority of the receiver, PEM; without it, those that the system trusts')
    .option('--cert-file <file>', 'certificate to show, where the receiver asks for one, PEM (with --key-file)')
    .option('--key-file <file>', 'its key, PEM')
    .option('--server-name <name>', "name in the receiver's certificate, where it is not the host of --to")
    .action(async (files: string[], options: SendOptions) => {
      const destination = await destinationOf(options);
      const { messages, unread } = await messagesIn(files);
      const output = outputOf(context, options);
      for (const { file, reason } of unread) output.note(`${file} ${reason}`);
      if (messages.length === 0) throw new AppError('input.invalid', 'No file has a message: no line begins with MSH.');
      const progress = output.progress('send');
      const sender = createMllpSender({
        ...destination,
        uniform: Math.random,
        signal: context.signal,
        onRetry: ({ message }, attempt) => output.note(`Attempt ${attempt}: ${message}`),
      });
      const results = await sendAll(sender, messages, progress);
      progress.end();
      sender.close();
      context.signal.throwIfAborted();
      output.result({ results, unread }, textOf(results));
      failUnlessTaken(results, messages.length);
      if (unread.length > 0)
        throw new AppError('input.invalid', `${unread.length} of ${files.length} files have no message.`);
    });
}

async function destinationOf(options: SendOptions) {
  const { to, attempts, timeout } = options;
  const { host = '', port = '' } = ADDRESS.exec(to)?.groups ?? {};
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
    throw new AppError('input.invalid', '--to: must be host:port, such as 10.1.2.3:2575.', { field: 'to' });
  }
  const attemptsMax = wholeNumber(attempts, { name: '--attempts', most: ATTEMPTS_MAX });
  const answerMs = wholeNumber(timeout, { name: '--timeout', most: TIMEOUT_SECONDS_MAX }) * 1000;
  const tls = await readSendTls(options);
  const secure = tls === undefined ? {} : { tls };
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port), attemptsMax, answerMs, ...secure };
}

function wholeNumber(text: string, { name, most }: { name: string; most: number }): number {
  const number = settingNumber(text);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new AppError('input.invalid', `${name}: must be a whole number from 1 to ${most}.`);
}

type Message = { readonly file: string; readonly number: number; readonly bytes: Buffer };
type Unread = { readonly file: string; readonly reason: string };

async function messagesIn(files: readonly string[]): Promise<{ messages: Message[]; unread: Unread[] }> {
  const messages: Message[] = [];
  const unread: Unread[] = [];
  for (const file of files) {
    await requireFile(file);
    const found = splitMessages(await readFile(file));
    messages.push(...found.messages.map((bytes, index) => ({ file, number: index + 1, bytes })));
    if (found.messages.length === 0) unread.push({ file, reason: 'has no message: no line begins with MSH.' });
    else if (found.strayCount > 0)
      unread.push({ file, reason: `has ${found.strayCount} lines before its first message.` });
  }
  return { messages, unread };
}

type Result = {
  readonly file: string;
  readonly number: number;
  readonly controlId: string;
  readonly outcome: 'accepted' | 'refused' | 'sent' | 'not-acknowledged' | 'unreadable' | 'not-sent';
  readonly code?: string;
  readonly reason?: string;
};

async function sendAll(sender: MllpSender, messages: readonly Message[], progress: Progress): Promise<Result[]> {
  const results: Result[] = [];
  let isLost = false;
  for (const message of messages) {
    const result: Result = isLost
      ? ({ ...nameOf(message), outcome: 'not-sent' } as const)
      : await sendOne(sender, message);
    isLost ||= result.outcome === 'not-acknowledged';
    results.push(result);
    progress.update(results.length, messages.length);
  }
  return results;
}

function nameOf({ file, number, bytes }: Message) {
  try {
    return { file, number, controlId: readHeader(parseMessage(bytes)).controlId };
  } catch {
    return { file, number, controlId: '' }; // why, its sending says
  }
}

async function sendOne(sender: MllpSender, message: Message): Promise<Result> {
  const name = nameOf(message);
  try {
    return { ...name, ...outcomeOf(await sender.send(message.bytes)) };
  } catch (caught) {
    if (!(caught instanceof Hl7Error)) throw caught;
    const isUnreadable = caught.code === 'malformed' || caught.code === 'encoding' || caught.code === 'limit';
    return { ...name, outcome: isUnreadable ? 'unreadable' : 'not-acknowledged', reason: caught.message };
  }
}

function outcomeOf(answer: Acknowledgement | undefined): Pick<Result, 'outcome' | 'code' | 'reason'> {
  if (answer === undefined) return { outcome: 'sent', reason: 'it asks for no acknowledgement' };
  const { code, reason } = answer;
  const isTaken = code === 'AA' || code === 'CA';
  return { outcome: isTaken ? 'accepted' : 'refused', code, ...(reason === '' ? {} : { reason }) };
}

function textOf(results: readonly Result[]): string {
  const lines = results.map(({ file, number, controlId, outcome, code, reason }) =>
    printable(
      `${file}#${number}  ${controlId}  ${outcome}${code === undefined ? '' : ` (${code})`}${reason === undefined ? '' : `: ${reason}`}`,
    ),
  );
  const accepted = results.filter(({ outcome }) => outcome === 'accepted' || outcome === 'sent').length;
  return [...lines, `${accepted} of ${results.length} messages were taken.`].join('\n');
}

function failUnlessTaken(results: readonly Result[], count: number): void {
  const lost = results.find(({ outcome }) => outcome === 'not-acknowledged');
  if (lost !== undefined)
    throw new AppError('peer.unreachable', `The receiver did not acknowledge: ${lost.reason ?? ''}`);
  const refused = results.filter(({ outcome }) => outcome === 'refused' || outcome === 'unreadable').length;
  if (refused > 0) throw new AppError('peer.refused', `${refused} of ${count} messages were not taken.`);
}
