/** The routes of an imaging plane behind a real HTTP server, where a token is a role and its holder is called so. */
import { SITE_ROLES, type UserId } from '@lantern/contract';
import { createHttpServer, createLogger, createMetrics, type HttpServer, systemClock } from '@lantern/service';
import type { TestImaging } from './imaging-harness.ts';

export type TestWeb = {
  readonly url: string;
  readonly server: HttpServer;
  /** `path` begins behind `/dicom-web`. */
  fetch(path: string, options?: RequestInit & { readonly role?: string }): Promise<Response>;
  close(): Promise<void>;
};

export async function startTestWeb(node: TestImaging): Promise<TestWeb> {
  const metrics = createMetrics('web-test');
  const server = await createHttpServer({
    routes: node.imaging.routes,
    authenticators: {
      token: async (token) =>
        SITE_ROLES.some((role) => role === token)
          ? { userId: 'usr_test' as UserId, name: token, roles: [token] }
          : undefined,
    },
    log: createLogger({ name: 'web', level: 'silent' }),
    metrics,
    clock: systemClock,
    title: 'Test',
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
