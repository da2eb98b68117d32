/** What a sender may make us hold or wait for. An MLLP peer is known by its address alone, so nothing is trusted. */

/** A message with a scanned document inside, in Base64, has some tens of megabytes; what is longer is a fault of the sender. */
export const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

/** A report of a genome has some thousands of observations. Each segment costs an object. */
export const SEGMENT_COUNT_MAX = 200_000;

/** HL7 v2.9 defines at most 60 fields for a segment; local ones have more. Splitting is bounded by it. */
export const FIELD_COUNT_MAX = 1000;

/** Messages of one connection that were received and not yet acknowledged. A sender that waits for each answer has one. */
export const UNDER_WAY_COUNT_MAX = 64;

/** Bytes of these messages: beyond it the socket is not read until some of them are acknowledged. */
export const UNDER_WAY_BYTES_MAX = 8 * 1024 * 1024;

/** One connection per sending system and stream; a hospital has some dozens. */
export const CONNECTION_COUNT_MAX = 256;

export type MllpTimeouts = {
  /** Between two pieces of one frame. */
  readonly idleMs: number;
  /** From the first byte of a frame to its last: trickling bytes do not help. */
  readonly frameMs: number;
  /** After an end block without its carriage return: then it counts as the end. */
  readonly endBlockMs: number;
  /** For a peer to take an acknowledgement. */
  readonly writeMs: number;
  /** For a TLS handshake. */
  readonly handshakeMs: number;
};

export const DEFAULT_MLLP_TIMEOUTS: MllpTimeouts = {
  idleMs: 60_000, // a sender that stops in the middle of a message for so long is gone
  frameMs: 600_000, // 64 MiB at 1 Mbit/s
  endBlockMs: 2_000, // the carriage return is written together with the end block, or not at all
  writeMs: 60_000, // an acknowledgement has a few hundred bytes
  handshakeMs: 30_000,
};
