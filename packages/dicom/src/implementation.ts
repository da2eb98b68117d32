/** How this program names itself: in the files that it writes (PS3.10 7.1) and in associations (PS3.7 D.3.3.2). */

/** From a UUID (PS3.5 B.2): it needs no registration, and stays the same for all versions. */
export const IMPLEMENTATION_CLASS_UID = '2.25.273848530842719351837284911056398215604';
export const IMPLEMENTATION_VERSION_NAME = 'LANTERN_0_1';
