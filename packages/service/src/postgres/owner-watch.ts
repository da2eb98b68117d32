/**
 * Ends the database server of a process that was killed. The server runs detached, so that Ctrl-C reaches its owner first; killed
 * by kill -9, the owner would leave it running for as long as nobody starts on the folder again. So a shell waits at the end of a
 * pipe that breaks when the owner ends, however it ends, and then asks the server to stop as a clean stop does.
 *
 * Whom it stops it reads then: the server may have been started again meanwhile, and an id alone proves nothing. An owner that
 * starts at the same instant finds a server that is stopping, or loses the one it adopted; both it knows (embedded.ts).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import type { Logger } from '../log.ts';
import { SERVER_ENV } from './cluster.ts';

/** A line says that the owner has closed; the end of the pipe without one, that it was killed. */
const SCRIPT = `read -r _ && exit 0
pid=$(head -n 1 "$1/postmaster.pid") || exit 0
words=$(tr '\\0' ' ' <"/proc/$pid/cmdline" || ps -ww -o command= -p "$pid")
case $words in *postgres\\ -D\\ "$1"\\ *) kill -INT "$pid" ;; esac`;

/** Returns the function that ends the watch and waits for its end; for after the server was stopped. */
export function watchOwner(clusterDir: string, log: Logger): () => Promise<void> {
  const shell = spawn('sh', ['-c', SCRIPT, 'sh', clusterDir], {
    cwd: '/',
    env: SERVER_ENV,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(shell, 'exit').catch((err: unknown) => {
    log.warn({ err }, 'Nothing watches over this process: killed, it would leave its PostgreSQL running');
  });
  shell.stdin.on('error', () => undefined); // The shell was killed: there is nobody left to let go.
  shell.unref();
  if (shell.stdin instanceof Socket) shell.stdin.unref();
  return async () => {
    shell.ref(); // until now it kept nobody alive; its end is waited for
    shell.stdin.end('closed\n');
    await ended;
  };
}
