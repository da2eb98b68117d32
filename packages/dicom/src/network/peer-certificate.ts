/** Who the certificate of a peer says it is. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Common name of the peer's certificate; `undefined` without TLS, without a certificate, or where it was not verified. */
export function certificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  const name: unknown = subject?.CN;
  return typeof name === 'string' ? name : undefined;
}
