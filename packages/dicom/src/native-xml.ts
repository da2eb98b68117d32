/** A data set in the Native DICOM Model (PS3.19 annex A.1), the XML in which metadata may be retrieved (PS3.18 8.7.3.2, F.1). */
import { type DataSet, type Element, inLittleEndian, numbersIn, tagsIn, textsIn } from './data-set.ts';
import { type BulkDataUri, INLINE_BYTES_MAX, PIXEL_TAGS, shownVr } from './dicom-json.ts';
import { keywordOf } from './dictionary.ts';
import { TAGS, type Tag, tagHex } from './tag.ts';
import { vrRule } from './vr.ts';

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n';
const ROOT = 'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve"';
const NAME_GROUPS = ['Alphabetic', 'Ideographic', 'Phonetic'];
const NAME_PARTS = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix'];

type Place = { readonly dataSet: DataSet; readonly uriOf: BulkDataUri; readonly prefix: string };

/** As metadata are retrieved: in UTF-8, without group lengths, with what is long, and pixels, behind a URI. */
export function metadataXml(dataSet: DataSet, uriOf: BulkDataUri): string {
  return `${HEAD}<NativeDicomModel ${ROOT}>${attributesOf({ dataSet, uriOf, prefix: '' })}</NativeDicomModel>`;
}

function attributesOf(place: Place): string {
  return [...place.dataSet.elements.values()]
    .filter(({ tag }) => (tag & 0xffff) !== 0)
    .sort((a, b) => a.tag - b.tag)
    .map((element) => attributeOf(element, place))
    .join('');
}

function attributeOf(element: Element, place: Place): string {
  const { tag } = element;
  const keyword = keywordOf(tag);
  const creator = creatorOf(tag, place.dataSet);
  const named = [
    `tag="${tagHex(creator === undefined ? tag : outsideOfBlock(tag))}"`,
    `vr="${element.value.kind === 'items' ? 'SQ' : shownVr(element)}"`,
    ...(keyword === undefined ? [] : [`keyword="${keyword}"`]),
    ...(creator === undefined ? [] : [`privateCreator="${escaped(creator)}"`]),
  ];
  return `<DicomAttribute ${named.join(' ')}>${contentOf(element, place)}</DicomAttribute>`;
}

/** Of a private element (PS3.5 7.8.1): what its block was reserved by. */
function creatorOf(tag: Tag, { elements, characterSets }: DataSet): string | undefined {
  const [group, block] = [tag >>> 16, (tag >>> 8) & 0xff];
  if (group % 2 === 0 || block < 0x10) return undefined;
  const creator = elements.get(((group << 16) | block) >>> 0);
  return creator === undefined || creator.value.kind !== 'bytes' ? undefined : textsIn(creator, characterSets)[0];
}

/** Which block of its group a creator has is chance; beside the creator's name it is left out, as foreign writers do. */
function outsideOfBlock(tag: Tag): Tag {
  return (tag & 0xffff00ff) >>> 0;
}

function contentOf(element: Element, place: Place): string {
  const { tag, value } = element;
  if (tag === TAGS.specificCharacterSet) return valueNode('ISO_IR 192', 0);
  const name = place.prefix + tagHex(tag);
  switch (value.kind) {
    case 'items':
      return value.items
        .map((dataSet, index) => {
          const inside = attributesOf({ ...place, dataSet, prefix: `${name}.${index + 1}.` });
          return `<Item number="${index + 1}">${inside}</Item>`;
        })
        .join('');
    case 'range':
    case 'fragments':
      return bulkOf(name, place);
    case 'bytes':
      if (PIXEL_TAGS.has(tag)) return bulkOf(name, place);
      return inlineOf(element, value.bytes, place) ?? bulkOf(name, place);
  }
}

function bulkOf(name: string, { uriOf }: Place): string {
  return `<BulkData uri="${escaped(uriOf(name))}"/>`;
}

/** `undefined` where it is too long to be shown. */
function inlineOf(element: Element, bytes: Buffer, { dataSet }: Place): string | undefined {
  const { littleEndian, characterSets } = dataSet;
  const vr = shownVr(element);
  if (vr === 'AT')
    return tagsIn(element, littleEndian)
      .map((tag, index) => valueNode(tagHex(tag), index))
      .join('');
  if (vr === 'PN') return textsIn(element, characterSets).map(personNameOf).join('');
  switch (vrRule(vr).kind) {
    case 'text':
      return textsIn(element, characterSets).map(valueNode).join('');
    case 'number':
      return numbersIn(element, littleEndian)
        .map((number, index) => valueNode(String(number).replace('Infinity', 'INF'), index))
        .join('');
    default:
      if (bytes.byteLength > INLINE_BYTES_MAX) return undefined;
      if (bytes.byteLength === 0) return '';
      return `<InlineBinary>${inLittleEndian(element, bytes, dataSet).toString('base64')}</InlineBinary>`;
  }
}

/** An empty value among others has no node; the numbers of the others tell where it was. */
function valueNode(text: string, index: number): string {
  return text === '' ? '' : `<Value number="${index + 1}">${escaped(text)}</Value>`;
}

/** PS3.5 6.2.1: three groups of five components. */
function personNameOf(text: string, index: number): string {
  const groups = text.split('=').map((group, at) => {
    const parts = group.split('^').map((part, partAt) => {
      const name = NAME_PARTS[partAt];
      return part === '' || name === undefined ? '' : `<${name}>${escaped(part)}</${name}>`;
    });
    const name = NAME_GROUPS[at];
    const inside = parts.join('');
    return name === undefined || inside === '' ? '' : `<${name}>${inside}</${name}>`;
  });
  return groups.every((group) => group === '')
    ? ''
    : `<PersonName number="${index + 1}">${groups.join('')}</PersonName>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

/** What XML 1.0 has no way to write, such as form feeds, becomes U+FFFD. */
function escaped(text: string): string {
  return text
    .replaceAll(/[&<>"\r]/g, (found) => ENTITIES[found] ?? found)
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
}
