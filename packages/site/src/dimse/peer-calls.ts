/** Calling peers: under which address each listens, and with which certificates. */
import { readFile } from 'node:fs/promises';
import { AppError } from '@lantern/contract';
import { type AssociationOptions, type Destination, type DimseClient, openAssociation } from '@lantern/dicom';
import { fromDicomError } from '../dicom-fault.ts';
import type { DicomPeer, DicomSettings } from './dicom-settings.ts';

export type PeerCall = Pick<AssociationOptions, 'contexts' | 'handlers' | 'onProblem' | 'signal' | 'timeouts'> & {
  readonly peer: DicomPeer;
  readonly callingAe: string;
};

export type PeerCalls = {
  /** The entry of a peer by its title; `undefined`: it is not in the settings. */
  peer(aeTitle: string): DicomPeer | undefined;
  /** Throws `config.invalid` where the settings do not say where it listens, or a file of TLS cannot be read. */
  destinationOf(peer: DicomPeer, callingAe: string): Promise<Destination>;
  /** Opens an association. Throws as `destinationOf`, `peer.unreachable` and `peer.refused`. */
  open(call: PeerCall): Promise<DimseClient>;
};

export function createPeerCalls(settings: DicomSettings): PeerCalls {
  const peers = new Map(settings.peers.map((peer) => [peer.aeTitle, peer]));
  return {
    peer: (aeTitle) => peers.get(aeTitle),
    destinationOf,
    async open({ peer, callingAe, ...options }) {
      const destination = await destinationOf(peer, callingAe);
      try {
        return await openAssociation({ ...destination, ...options });
      } catch (caught) {
        throw fromDicomError(caught);
      }
    },
  };

  async function destinationOf(peer: DicomPeer, callingAe: string): Promise<Destination> {
    const { aeTitle, port } = peer;
    const [host] = peer.host === undefined ? peer.hosts : [peer.host];
    if (port === undefined || host === undefined || host.includes('/')) {
      throw new AppError('config.invalid', `dicom.peers: ${aeTitle} needs a host and a port to be called.`, {
        field: 'dicom.peers',
      });
    }
    const tls = peer.tls ? await readClientTls(settings) : undefined;
    return { host, port, calledAe: aeTitle, callingAe, ...(tls === undefined ? {} : { tls }) };
  }
}

async function readClientTls({ tlsCaFile, tlsCertFile, tlsKeyFile }: DicomSettings) {
  if (tlsCaFile === undefined) {
    throw new AppError('config.invalid', 'dicom: a peer is called by TLS, so tlsCaFile has to say whom to trust.', {
      field: 'dicom.tlsCaFile',
    });
  }
  try {
    const ca = await readFile(tlsCaFile, 'utf8');
    if (tlsCertFile === undefined || tlsKeyFile === undefined) return { ca };
    return { ca, cert: await readFile(tlsCertFile, 'utf8'), key: await readFile(tlsKeyFile, 'utf8') };
  } catch (cause) {
    throw new AppError('config.invalid', 'dicom: a TLS file cannot be read.', { field: 'dicom.tlsCaFile', cause });
  }
}
