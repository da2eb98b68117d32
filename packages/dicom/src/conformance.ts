/** What a conformance statement (PS3.2) says of the network and the codecs, read from the tables that the code itself follows. */
import { UID_LINES } from './generated/uids.ts';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './implementation.ts';
import {
  DEFAULT_TIMEOUTS,
  type NetworkTimeouts,
  RECEIVED_PDU_BYTES_MAX,
  SENT_PDU_BYTES_MAX,
} from './network/limits.ts';
import { type Service, serviceOf } from './network/sop-classes.ts';
import { canDecode, canEncode } from './pixel/codecs.ts';
import { transferSyntaxOf } from './transfer-syntax.ts';

export type NamedUid = { readonly uid: string; readonly name: string; readonly retired: boolean };

export type Conformance = {
  readonly implementationClassUid: string;
  readonly implementationVersionName: string;
  readonly receivedPduBytesMax: number;
  readonly sentPduBytesMax: number;
  readonly timeouts: NetworkTimeouts;
  readonly sopClasses: readonly (NamedUid & { readonly service: Service })[];
  readonly transferSyntaxes: readonly (NamedUid & {
    readonly isNative: boolean;
    readonly decoded: boolean;
    readonly encoded: boolean;
  })[];
};

export function conformance(): Conformance {
  const uids = UID_LINES.split('\n').map((line) => line.split('|'));
  const named = (kindWanted: string): NamedUid[] =>
    uids.flatMap(([uid = '', kind, , name = '', retired]) =>
      kind === kindWanted ? [{ uid, name: name.replace(/ \(Retired\)$/, ''), retired: retired === 'R' }] : [],
    );
  return {
    implementationClassUid: IMPLEMENTATION_CLASS_UID,
    implementationVersionName: IMPLEMENTATION_VERSION_NAME,
    receivedPduBytesMax: RECEIVED_PDU_BYTES_MAX,
    sentPduBytesMax: SENT_PDU_BYTES_MAX,
    timeouts: DEFAULT_TIMEOUTS,
    sopClasses: named('SOP Class').flatMap((one) => {
      const service = serviceOf(one.uid);
      return service === undefined ? [] : [{ ...one, service }];
    }),
    transferSyntaxes: named('Transfer Syntax').map((syntax) => ({
      ...syntax,
      isNative: transferSyntaxOf(syntax.uid).pixels === 'native',
      decoded: canDecode(syntax.uid),
      encoded: canEncode(syntax.uid),
    })),
  };
}
