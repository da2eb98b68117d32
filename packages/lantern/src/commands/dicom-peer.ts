/** What the commands that talk to a DICOM peer have in common: how it is named, called, and what its failures mean. */
import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { AppError } from '@lantern/contract';
import { type AssociationOptions, type DimseClient, openAssociation } from '@lantern/dicom';
import { fromDicomError } from '@lantern/site';
import type { Command } from 'commander';
import { type CommonOptions, withJson } from '../cli/command-context.ts';
import { fileReason } from '../cli/file-fault.ts';

export type PeerOptions = CommonOptions & {
  readonly calledAe: string;
  readonly callingAe: string;
  readonly tls?: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
};

export function withPeer(command: Command): Command {
  return withJson(command)
    .argument('<host:port>', 'where the peer listens')
    .option('--called-ae <title>', 'title of the peer', 'ANY-SCP')
    .option('--calling-ae <title>', 'title of ours', 'LANTERN')
    .option('--tls', 'call by TLS')
    .option('--ca <file>', 'authority that its certificate has to come from, PEM (default: the public ones)')
    .option('--cert <file>', 'our certificate, PEM')
    .option('--key <file>', 'its key, PEM');
}

export type Peer = Pick<AssociationOptions, 'host' | 'port' | 'calledAe' | 'callingAe' | 'tls'>;

/** Throws `input.invalid` where the address or a file is none. */
export async function peerOf(address: string, options: PeerOptions): Promise<Peer> {
  const { host, port } = /^\[?(?<host>[^\]]+?)\]?:(?<port>\d{1,5})$/.exec(address)?.groups ?? {};
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new AppError('input.invalid', `"${address}" must be HOST:PORT, such as 10.1.2.3:104.`);
  }
  const calledAe = titleOf('--called-ae', options.calledAe);
  const callingAe = titleOf('--calling-ae', options.callingAe);
  const tls = await tlsOf(options);
  return { host, port: Number(port), calledAe, callingAe, ...(tls === undefined ? {} : { tls }) };
}

/** PS3.5 6.2, VR AE. A longer one would be cut on the way, and be another. */
function titleOf(option: string, text: string): string {
  const title = text.trim();
  if (/^[\x20-\x5b\x5d-\x7e]{1,16}$/.test(title)) return title;
  throw new AppError('input.invalid', `${option}: an AE title has 1 to 16 printable characters and no backslash.`);
}

async function tlsOf({ tls, ca, cert, key }: PeerOptions): Promise<Peer['tls']> {
  if (tls !== true) {
    if ((ca ?? cert ?? key) === undefined) return undefined;
    throw new AppError('input.invalid', '--ca, --cert and --key come with --tls.');
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new AppError('input.invalid', '--cert and --key come together.');
  }
  const own = cert === undefined || key === undefined ? {} : { cert: await readPem(cert), key: await readPem(key) };
  return { ca: ca === undefined ? rootCertificates.join('\n') : await readPem(ca), ...own };
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new AppError('input.invalid', `${file} ${fileReason(cause)}.`, { cause });
  }
}

/** Opens an association, talks, and ends it. Throws `peer.unreachable`, `peer.refused`, and what `talk` throws. */
export async function withAssociation<R>(
  options: AssociationOptions,
  talk: (client: DimseClient) => Promise<R>,
): Promise<R> {
  try {
    const client = await openAssociation(options);
    try {
      const result = await talk(client);
      await client.release();
      return result;
    } catch (caught) {
      await client.abort();
      throw caught;
    }
  } catch (caught) {
    throw fromDicomError(caught);
  }
}

/** "B000H", as the standard writes a status. */
export function statusText(status: number): string {
  return `${status.toString(16).padStart(4, '0').toUpperCase()}H`;
}

export function collect(value: string, earlier: readonly string[]): string[] {
  return [...earlier, value];
}
