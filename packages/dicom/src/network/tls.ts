/** TLS for associations (PS3.15 B.12): keys and certificates as PEM, and who a peer's certificate says it is. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export type ClientTls = {
  /** Authorities that the peer's certificate has to come from, PEM. */
  readonly ca: string;
  /** Ours, where the peer asks for one, PEM. */
  readonly key?: string;
  readonly cert?: string;
  /** The name in the peer's certificate, where it is not the host. */
  readonly serverName?: string;
};

export type ServerTls = {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
  /** Authorities of the certificates that clients must then have, PEM; without it clients need none. */
  readonly clientCa?: string;
};

/** Common name of the peer's certificate; `undefined` without TLS, without a certificate, or where it was not verified. */
export function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  const name: unknown = subject?.CN;
  return typeof name === 'string' ? name : undefined;
}
