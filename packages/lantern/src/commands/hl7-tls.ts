/** TLS for `lantern hl7 listen` and `send`: which files are read, and which of them belong together. */

import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { AppError } from '@lantern/contract';
import { requireFile } from '../cli/file-fault.ts';

type IdentityOptions = { readonly certFile?: string; readonly keyFile?: string; readonly caFile?: string };
export type ListenTlsOptions = IdentityOptions;
export type SendTlsOptions = IdentityOptions & { readonly tls?: boolean; readonly serverName?: string };

/** `undefined`: without TLS. Throws `input.invalid`. */
export async function readListenTls(options: ListenTlsOptions) {
  const identity = await readIdentity(options);
  const ca = await readPem(options.caFile);
  if (identity === undefined && ca === undefined) return undefined;
  if (identity === undefined) {
    throw new AppError('input.invalid', '--ca-file: TLS needs --cert-file and --key-file as well.', {
      field: 'ca-file',
    });
  }
  return { ...identity, ...(ca === undefined ? {} : { clientCa: ca }) };
}

/** `undefined`: without TLS. Throws `input.invalid`. */
export async function readSendTls(options: SendTlsOptions) {
  const { tls, caFile, serverName } = options;
  const identity = await readIdentity(options);
  const isWanted = [identity, caFile, serverName].some((given) => given !== undefined);
  if (tls !== true && !isWanted) return undefined;
  const ca = await readPem(caFile);
  return {
    ...identity,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

async function readIdentity({
  certFile,
  keyFile,
}: IdentityOptions): Promise<{ cert: string; key: string } | undefined> {
  const [cert, key] = [await readPem(certFile), await readPem(keyFile)];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new AppError('input.invalid', '--cert-file and --key-file come together.', { field: 'key-file' });
  }
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    const message = '--cert-file and --key-file: they are no certificate and its key, as PEM.';
    throw new AppError('input.invalid', message, { field: 'cert-file', cause });
  }
  return { cert, key };
}

async function readPem(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  await requireFile(file);
  return readFile(file, 'utf8');
}
