/** How this implementation names itself in an association (PS3.7 D.3.3.2). */
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from '../implementation.ts';
import { RECEIVED_PDU_BYTES_MAX } from './limits.ts';
import type { RoleSelection, UserInformation } from './pdu.ts';

/** Without an asynchronous operations window: one request at a time, which is what every peer can do. */
export function ourUserInformation(roles: readonly RoleSelection[]): UserInformation {
  return {
    pduBytesMax: RECEIVED_PDU_BYTES_MAX,
    implementationClassUid: IMPLEMENTATION_CLASS_UID,
    implementationVersion: IMPLEMENTATION_VERSION_NAME,
    roles,
    others: [],
  };
}
