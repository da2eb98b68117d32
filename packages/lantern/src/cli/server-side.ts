/**
 * Hub and site answer at addresses that look alike; a command that was given the other one's is told so. It asks who answers there
 * only after a failure, and after an operation that both have under one path, where an empty list would fit either.
 */
import {
  type ApiClient,
  AppError,
  COMMON_API,
  createApiClient,
  type Endpoint,
  HUB_API,
  SERVER_TITLES,
  SITE_API,
} from '@lantern/contract';
import { HEALTH, type HttpClient } from '@lantern/service';

type Side = keyof typeof SERVER_TITLES;

/** Calls operations of hub and site; throws `config.invalid` where the server is of the other side. */
export function createSidedClient(http: HttpClient, url: string): ApiClient {
  const client = createApiClient(http.transport);
  const assertSide = async (operation: Endpoint, cause?: AppError): Promise<void> => {
    const meant = sideOf(operation);
    if (meant === undefined) return;
    const other: Side = meant === 'hub' ? 'site' : 'hub';
    const health = await client.call(HEALTH, {}).catch(() => undefined); // what the operation itself said is the news
    if (health?.server !== SERVER_TITLES[other]) return;
    const message = `${url} is a ${other}, and this is asked of a ${meant}: name one with --data or --url.`;
    throw new AppError('config.invalid', message, { cause });
  };
  return {
    async call(operation, input) {
      const answer = await client.call(operation, input).catch(async (caught: unknown) => {
        if (caught instanceof AppError && caught.failureClass === 'permanent') await assertSide(operation, caught);
        throw caught;
      });
      if (hasNamesake(operation)) await assertSide(operation);
      return answer;
    },
  };
}

const isOneOf = (api: Readonly<Record<string, Endpoint>>, operation: Endpoint): boolean =>
  Object.values(api).includes(operation);

/** `undefined`: both offer it alike. */
function sideOf(operation: Endpoint): Side | undefined {
  if (isOneOf(COMMON_API, operation)) return undefined;
  return isOneOf(HUB_API, operation) ? 'hub' : 'site';
}

/** Whether both sides have something else under its method and path. */
function hasNamesake({ method, path }: Endpoint): boolean {
  const under = [...Object.values(HUB_API), ...Object.values(SITE_API)].filter(
    (one) => one.method === method && one.path === path,
  );
  return new Set(under).size > 1;
}
