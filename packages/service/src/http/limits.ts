/** Every bound of the HTTP server and client, each with its reason. */

export const BODY_BYTES_MAX_DEFAULT = 1024 * 1024; // documents, not data: what is larger says so in its route
export const HEADER_BYTES_MAX = 16 * 1024; // Node's own default, stated; a signed request needs about 1 KiB
export const HEADERS_TIMEOUT_MS = 20_000; // a head is a few packets, even on a 1 Mbit/s link
export const REQUEST_TIMEOUT_MS = 15 * 60 * 1000; // one 64 MiB chunk at 1 Mbit/s takes nine minutes
export const KEEP_ALIVE_MS = 65_000; // longer than the 60 s for which proxies commonly keep theirs, so they close first
export const CONNECTION_COUNT_MAX = 2_000; // 100 sites with a few connections each and 1,000 users
export const PARAM_LENGTH_MAX = 256; // ids have 29 characters, digests 64
export const CLOSE_WAIT_MS_MAX = 5_000; // after the signal, running requests get this long before they are cut

export const CLIENT_CONNECT_TIMEOUT_MS = 10_000; // name look-up, TCP and TLS; a far link takes under 2 s
export const CLIENT_IDLE_TIMEOUT_MS = 60_000; // no byte either way; above the longest long-poll (25 s)
export const CLIENT_JSON_BYTES_MAX = 64 * 1024 * 1024; // 16 task envelopes of at most 4 MiB each
export const CLIENT_SOCKET_COUNT_MAX = 16; // per peer: one long-poll, transfers and a few short requests
export const ERROR_BODY_BYTES_MAX = 64 * 1024; // an error is one short object; a proxy's page is cut here
