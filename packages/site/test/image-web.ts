/** DICOMweb of an imaging plane that stands alone: a real server on a free port, where a token is the role of its bearer. */
import { SITE_ROLES, type UserId } from '@lantern/contract';
import { createHttpServer, createLogger, createMetrics, type HttpServer, systemClock } from '@lantern/service';
import type { TestImaging } from './imaging-harness.ts';

export type ImageWeb = {
  readonly url: string;
  readonly server: HttpServer;
  /** `path` begins behind `/dicom-web`. */
  fetch(path: string, options?: RequestInit & { readonly role?: string }): Promise<Response>;
  close(): Promise<void>;
};

export async function serveImages({ imaging }: Pick<TestImaging, 'imaging'>): Promise<ImageWeb> {
  const metrics = createMetrics('image-web');
  const server = await createHttpServer({
    routes: imaging.routes,
    authenticators: {
      token: async (token) =>
        SITE_ROLES.some((role) => role === token)
          ? { userId: 'usr_test' as UserId, name: token, roles: [token] }
          : undefined,
    },
    log: createLogger({ name: 'image-web', level: 'silent' }),
    metrics,
    clock: systemClock,
    title: 'Images',
    version: '1',
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    server,
    fetch: (path, { role = 'data-engineer', headers, ...options } = {}) =>
      fetch(`${url}/dicom-web${path}`, {
        ...options,
        headers: { ...Object.fromEntries(new Headers(headers)), authorization: `Bearer ${role}` },
      }),
    async close() {
      await server.close();
      await metrics.close();
    },
  };
}
