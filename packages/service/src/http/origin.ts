/** Under which scheme, host and port a caller reaches this server, so that links in an answer lead back to it. */
import type { IncomingMessage } from 'node:http';

const HOST = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?$/;
/** Of a proxy; what they say is not believed, only that there is one. */
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'via'] as const;

/**
 * Without a slash at its end. Where no public URL is set the caller says itself how it reached us, and nobody else is told. Some
 * leave the port out of Host (dicomweb-client does); it then is that of the connection, unless a proxy stands between.
 */
export function originOf(
  {
    headers,
    socket,
  }: Pick<IncomingMessage, 'headers'> & { readonly socket: { readonly localPort?: number | undefined } },
  { publicUrl, tls }: { readonly publicUrl?: string; readonly tls?: unknown },
): string {
  if (publicUrl !== undefined) return publicUrl.replace(/\/+$/, '');
  const [scheme, usualPort] = tls === undefined ? ['http', 80] : ['https', 443];
  const [, host = 'localhost', named] = HOST.exec(headers.host ?? '') ?? [];
  const isDirect = PROXY_HEADERS.every((name) => headers[name] === undefined);
  const { localPort } = socket;
  const isOther = isDirect && localPort !== undefined && localPort !== usualPort;
  return `${scheme}://${host}${named ?? (isOther ? `:${localPort}` : '')}`;
}
