/** What a peer may make us hold or wait for. A DICOM peer is known by an AE title that anybody can type, so nothing is trusted. */

/**
 * The longest P-DATA-TF PDU that we say we receive (PS3.8 D.1). Its content is handed on as it arrives and never held, so the
 * size costs nothing; 128 KiB is also the most that DCMTK sends.
 */
export const RECEIVED_PDU_BYTES_MAX = 128 * 1024;

/** The longest P-DATA-TF PDU that we send where the peer sets no limit, or a higher one. */
export const SENT_PDU_BYTES_MAX = 128 * 1024;

/** A peer that receives less than this per PDU makes us send more headers than data; the smallest in use is 4 KiB. */
export const SENT_PDU_BYTES_MIN = 512;

/** A-ASSOCIATE PDUs are held whole. 128 contexts with all the transfer syntaxes of PS3.6 take 190 kB. */
export const ASSOCIATE_PDU_BYTES_MAX = 256 * 1024;

/** Presentation context ids are the odd numbers below 256 (PS3.8 9.3.2.2). */
export const PRESENTATION_CONTEXT_COUNT_MAX = 128;

/** PS3.6 knows 63 transfer syntaxes; makers have a few of their own. */
export const TRANSFER_SYNTAX_COUNT_MAX = 128;

/** Role selections and extended negotiations: one per SOP class, of which there are at most as many as contexts. */
export const USER_ITEM_COUNT_MAX = 512;

/** PS3.5 6.2, VR AE. */
export const AE_TITLE_BYTES_MAX = 16;

/** PS3.5 9.1. */
export const UID_BYTES_MAX = 64;

/** Command sets are held whole. They are a few hundred bytes long; a list of attributes makes them a few thousand. */
export const COMMAND_BYTES_MAX = 64 * 1024;

/** Identifiers, and the lists of storage commitment, are held whole: 4 MiB names some 25,000 instances. */
export const IDENTIFIER_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes of a data set that wait for a slow consumer before the socket is paused; one more chunk of the socket may come on top. */
export const DATA_SET_BYTES_WAITING_MAX = 1024 * 1024;

/** Requests waiting behind the one in work. We accept one at a time (PS3.7 D.3.3.3); a peer that sends more ignores that. */
export const REQUESTS_WAITING_MAX = 8;

/** Answers that wait for a slow consumer before the socket is paused. */
export const RESPONSES_WAITING_MAX = 32;

/** Bytes of a data set that are handed to the socket at once. */
export const SENT_BATCH_BYTES = 256 * 1024;

export type NetworkTimeouts = {
  /** ARTIM (PS3.8 9.1.5): from the connection to its A-ASSOCIATE-RQ, and how long a requestor waits for the answer. */
  readonly associateMs: number;
  /** ARTIM again, after the last PDU: how long the other side has to close the connection. */
  readonly closeMs: number;
  /** Between two PDUs of one message, and for a peer to take what we send. Trickling bytes do not count. */
  readonly idleMs: number;
  /** How long a requestor may keep its association open without asking for anything. */
  readonly requestMs: number;
  /** How long a requestor waits for the answer to a request, or for the next of several. */
  readonly answerMs: number;
};

export const DEFAULT_TIMEOUTS: NetworkTimeouts = {
  associateMs: 30_000, // a slow peer on a loaded machine; DCMTK and Orthanc wait as long
  closeMs: 5_000, // it has nothing left to do but close
  idleMs: 60_000, // a PDU of 128 KiB takes a second at 1 Mbit/s
  requestMs: 300_000, // a scanner sends an image, makes the next, and sends that
  answerMs: 600_000, // an archive that fetches from tape before it answers
};
