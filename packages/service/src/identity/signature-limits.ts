/** Greatest difference between the signer's clock and ours, either way: wide enough for a badly kept clock. */
export const SIGNATURE_SKEW_MS_MAX = 5 * 60 * 1000;
