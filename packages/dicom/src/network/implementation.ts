/** How this implementation names itself in an association (PS3.7 D.3.3.2). */
import { RECEIVED_PDU_BYTES_MAX } from './limits.ts';
import type { RoleSelection, UserInformation } from './pdu.ts';

/** From a UUID (PS3.5 B.2): it needs no registration, and stays the same for all versions. */
const IMPLEMENTATION_CLASS_UID = '2.25.273848530842719351837284911056398215604';
const IMPLEMENTATION_VERSION = 'LANTERN_0_1';

/** Without an asynchronous operations window: one request at a time, which is what every peer can do. */
export function ourUserInformation(roles: readonly RoleSelection[]): UserInformation {
  return {
    pduBytesMax: RECEIVED_PDU_BYTES_MAX,
    implementationClassUid: IMPLEMENTATION_CLASS_UID,
    implementationVersion: IMPLEMENTATION_VERSION,
    roles,
    others: [],
  };
}
