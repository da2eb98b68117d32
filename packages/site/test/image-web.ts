/** DICOMweb of an imaging plane that stands alone: a real server on a free port, where a token is the role of its bearer. */
import type { UserId } from '@lantern/contract';
import { createHttpServer, createLogger, createMetrics, systemClock } from '@lantern/service';
import type { TestImaging } from './imaging-harness.ts';

export type ImageWeb = { readonly url: string; close(): Promise<void> };

export async function serveImages({ imaging }: Pick<TestImaging, 'imaging'>): Promise<ImageWeb> {
  const metrics = createMetrics('image-web');
  const server = await createHttpServer({
    routes: imaging.routes,
    authenticators: { token: async (role) => ({ userId: 'usr_test' as UserId, name: role, roles: [role] }) },
    log: createLogger({ name: 'image-web', level: 'silent' }),
    metrics,
    clock: systemClock,
    title: 'Images',
    version: '1',
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    url,
    async close() {
      await server.close();
      await metrics.close();
    },
  };
}
