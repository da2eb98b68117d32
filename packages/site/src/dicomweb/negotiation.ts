/**
 * In what form a retrieval is answered: media type and transfer syntax, by what the caller accepts (PS3.18 8.7), most wanted first.
 * Without a transfer syntax an object is wanted in explicit little endian, or as it is where we cannot decode it, as with video; with
 * `*` as it is, but never in implicit or big endian, which have no place on the web (8.7.3).
 */
import { AppError } from '@lantern/contract';
import { canTranscode, type MediaType, parseAccept, transferSyntaxOf } from '@lantern/dicom';
import { EXPLICIT_LITTLE_ENDIAN } from '../image-retrieval/pixel-work.ts';

const MULTIPART = 'multipart/related';
const DICOM = 'application/dicom';
const DICOM_JSON = 'application/dicom+json';
const DICOM_XML = 'application/dicom+xml';
const OCTETS = 'application/octet-stream';
const ANYTHING: MediaType = { name: '*/*', parameters: new Map() };

/** PS3.18 table 8.7.3-5: what stands in a media type of compressed pixels; the first where the caller does not say. */
const PIXEL_TYPES: Readonly<Record<string, readonly string[]>> = {
  'image/jpeg': [
    '1.2.840.10008.1.2.4.70',
    '1.2.840.10008.1.2.4.50',
    '1.2.840.10008.1.2.4.51',
    '1.2.840.10008.1.2.4.57',
  ],
  'image/jls': ['1.2.840.10008.1.2.4.80', '1.2.840.10008.1.2.4.81'],
  'image/jp2': ['1.2.840.10008.1.2.4.90', '1.2.840.10008.1.2.4.91'],
  'image/jpx': ['1.2.840.10008.1.2.4.92', '1.2.840.10008.1.2.4.93'],
  'image/jphc': ['1.2.840.10008.1.2.4.201', '1.2.840.10008.1.2.4.202', '1.2.840.10008.1.2.4.203'],
  'image/dicom-rle': ['1.2.840.10008.1.2.5'],
};

/** What a caller accepts; the query parameter comes before the header (PS3.18 8.3.3.1), and nothing said is everything. */
export function acceptable(query: string | undefined, header: string | undefined): readonly MediaType[] {
  const types = parseAccept(query ?? header ?? '');
  return types.length === 0 && (query ?? header ?? '').trim() === '' ? [ANYTHING] : types;
}

export function notAcceptable(message: string): AppError {
  return new AppError('input.not-acceptable', message, { field: 'accept' });
}

/** What is wanted of the parts, or of the single one. */
type Wanted = { readonly isMultipart: boolean; readonly type: string; readonly transferSyntax: string | undefined };

/** `multipart/related; type="T"; transfer-syntax=S` asks for parts of type T, `T; transfer-syntax=S` for one. */
function wantedBy({ name, parameters }: MediaType): Wanted {
  const transferSyntax = parameters.get('transfer-syntax');
  if (name === 'multipart/*') return { isMultipart: true, type: '*/*', transferSyntax };
  if (name !== MULTIPART) return { isMultipart: false, type: name, transferSyntax };
  return { isMultipart: true, type: (parameters.get('type') ?? '*/*').toLowerCase(), transferSyntax };
}

function covers(pattern: string, type: string): boolean {
  return pattern === '*/*' || pattern === type || (pattern.endsWith('/*') && type.startsWith(pattern.slice(0, -1)));
}

/** The transfer syntax in which one that is kept in `own` is given; `undefined` where there is no way. */
function syntaxFor(own: string, wanted: string | undefined): string | undefined {
  const { explicit, littleEndian } = transferSyntaxOf(own);
  const asItIs = explicit && littleEndian ? own : EXPLICIT_LITTLE_ENDIAN;
  const byDefault = canTranscode(own, EXPLICIT_LITTLE_ENDIAN) ? EXPLICIT_LITTLE_ENDIAN : asItIs;
  const target = wanted === undefined ? byDefault : wanted === '*' ? asItIs : wanted;
  if (!/^[0-9.]{1,64}$/.test(target)) return undefined;
  const { explicit: isExplicit, littleEndian: isLittle } = transferSyntaxOf(target);
  return isExplicit && isLittle && canTranscode(own, target) ? target : undefined;
}

export type ObjectForm = {
  readonly isMultipart: boolean;
  /** For each instance; `undefined` for one that cannot be given in a way that is accepted. */
  readonly transferSyntaxes: readonly (string | undefined)[];
};

/** How DICOM objects kept in the transfer syntaxes `own` are given. Throws `input.not-acceptable` where none of them can be. */
export function objectForm(accepted: readonly MediaType[], own: readonly string[]): ObjectForm {
  const wanted = accepted.map(wantedBy).filter(({ type }) => covers(type, DICOM));
  const single = own.length === 1;
  const usable = wanted.filter(({ isMultipart, type }) => isMultipart || single || type === '*/*');
  // An asterisk alone names no form: several parts are the rule (PS3.18 10.4.4).
  const isMultipartOf = (one: Wanted) => one.isMultipart || one.type === '*/*';
  const first = usable.find((one) => own.some((uid) => syntaxFor(uid, one.transferSyntax) !== undefined));
  if (first === undefined) {
    if (usable.length > 0)
      throw notAcceptable('There is no codec from the stored transfer syntax to one that is accepted.');
    const types = `${MULTIPART}; type="${DICOM}"${single ? ` or ${DICOM}` : ''}`;
    throw notAcceptable(`This is given as ${types}, in a transfer syntax of PS3.18 8.7.3.`);
  }
  const isMultipart = isMultipartOf(first);
  const alike = usable.filter((one) => isMultipartOf(one) === isMultipart);
  const transferSyntaxes = own.map((uid) => firstOf(alike, (one) => syntaxFor(uid, one.transferSyntax)));
  return { isMultipart, transferSyntaxes };
}

export type FrameForm = { readonly isMultipart: boolean; readonly type: string; readonly transferSyntax: string };

/** How frames kept in the transfer syntax `own` are given. Throws `input.not-acceptable`. */
export function frameForm(accepted: readonly MediaType[], own: string, frameCount: number): FrameForm {
  const usable = accepted.map(wantedBy).filter((one) => one.isMultipart || one.type === '*/*' || frameCount === 1);
  const found = firstOf(usable, (one) => {
    const way = pixelsFor(own, one);
    return way === undefined ? undefined : { ...way, isMultipart: one.isMultipart || one.type === '*/*' };
  });
  if (found !== undefined) return found;
  const types = [OCTETS, ...Object.keys(PIXEL_TYPES)].join(', ');
  throw notAcceptable(`Frames of this image are given as ${MULTIPART} of ${types}, where there is a codec.`);
}

function pixelsFor(own: string, { type, transferSyntax }: Wanted): Omit<FrameForm, 'isMultipart'> | undefined {
  if (covers(type, OCTETS)) {
    const target = syntaxFor(own, transferSyntax ?? EXPLICIT_LITTLE_ENDIAN);
    if (target !== undefined) return { type: OCTETS, transferSyntax: target };
  }
  for (const [name, syntaxes] of Object.entries(PIXEL_TYPES)) {
    if (!covers(type, name)) continue;
    const target = candidates(name, { type, transferSyntax }, own).find(
      (uid) => syntaxes.includes(uid) && canTranscode(own, uid),
    );
    if (target !== undefined) return { type: name, transferSyntax: target };
  }
  return undefined;
}

/** What the caller names; else the usual one of the media type that it names; as it is where it leaves that to us. */
function candidates(
  name: string,
  { type, transferSyntax }: Pick<Wanted, 'type' | 'transferSyntax'>,
  own: string,
): string[] {
  const usual = PIXEL_TYPES[name]?.slice(0, 1) ?? [];
  if (transferSyntax === undefined) return type === name ? usual : [own];
  return transferSyntax === '*' ? [own, ...usual] : [transferSyntax];
}

/** Whether a value is wanted as bytes in parts, or alone. Throws `input.not-acceptable`. */
export function bulkDataIsMultipart(accepted: readonly MediaType[]): boolean {
  const found = accepted.map(wantedBy).find(({ type }) => covers(type, OCTETS));
  if (found === undefined) throw notAcceptable(`Bulk data is given as ${OCTETS}, also within ${MULTIPART}.`);
  return found.isMultipart;
}

/** Metadata as a list in JSON, or in XML in a part for each instance (PS3.18 8.7.3.2). Throws `input.not-acceptable`. */
export function metadataForm(accepted: readonly MediaType[]): 'json' | 'xml' {
  const found = firstOf(accepted.map(wantedBy), ({ isMultipart, type }) => {
    if (isMultipart) return covers(type, DICOM_XML) ? 'xml' : undefined;
    return [DICOM_JSON, 'application/json'].some((json) => covers(type, json)) ? 'json' : undefined;
  });
  if (found !== undefined) return found;
  throw notAcceptable(`Metadata are given as ${DICOM_JSON} and as ${MULTIPART}; type="${DICOM_XML}".`);
}

export type PictureForm = { readonly isMultipart: boolean; readonly format: 'jpeg' | 'png' };

/** Throws `input.not-acceptable`. */
export function pictureForm(accepted: readonly MediaType[]): PictureForm {
  const found = firstOf(accepted.map(wantedBy), ({ isMultipart, type }) => {
    const format = (['jpeg', 'png'] as const).find((one) => covers(type, `image/${one}`));
    return format === undefined ? undefined : { isMultipart, format };
  });
  if (found === undefined) throw notAcceptable('Pictures are given as image/jpeg and image/png.');
  return found;
}

function firstOf<T, R>(all: readonly T[], find: (one: T) => R | undefined): R | undefined {
  for (const one of all) {
    const found = find(one);
    if (found !== undefined) return found;
  }
  return undefined;
}
