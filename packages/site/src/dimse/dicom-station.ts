/** The site's listener in the DICOM network: admits the peers that it knows and takes what they ask to archive and query. */
import { readFile } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import { type DicomServer, type DimseHandlers, startDicomServer } from '@lantern/dicom';
import type { Logger } from '@lantern/service';
import type { AdmittedPeers } from './admission.ts';
import type { DicomSettings } from './dicom-settings.ts';

type StationDeps = {
  readonly settings: DicomSettings;
  readonly peers: AdmittedPeers;
  readonly handlers: DimseHandlers;
  readonly log: Logger;
};

/** Throws `set-up.failed` where the port is taken, `config.invalid` for files that cannot be read. */
export async function startDicomStation({ settings, peers, handlers, log }: StationDeps): Promise<DicomServer> {
  const tls = await readTls(settings);
  try {
    return await startDicomServer({
      host: settings.host,
      port: settings.port,
      ...(tls === undefined ? {} : { tls }),
      acceptsPrivate: true, // every storage class, in whatever syntax it comes
      associationCountMax: settings.associationCountMax,
      admit: async (peer) => {
        const admission = peers.admit(peer);
        if (admission !== 'accepted') log.warn({ admission, address: peer.address }, 'an association was refused');
        return admission;
      },
      handlers,
      // A peer's title is typed by its administrator and names no patient; what it sent is not logged.
      onProblem: (err, peer) => log.warn({ err, callingAe: peer?.callingAe }, 'an association had a problem'),
    });
  } catch (cause) {
    throw new AppError('set-up.failed', `The DICOM port ${settings.port} on ${settings.host} cannot be listened on.`, {
      field: 'dicom.port',
      cause,
    });
  }
}

async function readTls({ tlsCertFile, tlsKeyFile, tlsCaFile }: DicomSettings) {
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  try {
    const [cert, key, clientCa] = await Promise.all([
      readFile(tlsCertFile, 'utf8'),
      readFile(tlsKeyFile, 'utf8'),
      tlsCaFile === undefined ? undefined : readFile(tlsCaFile, 'utf8'),
    ]);
    return { cert, key, ...(clientCa === undefined ? {} : { clientCa }) };
  } catch (cause) {
    throw new AppError('config.invalid', 'dicom: a TLS file cannot be read.', { field: 'dicom.tlsCertFile', cause });
  }
}
