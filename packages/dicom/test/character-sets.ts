/** Text written in the character sets of DICOM: Node.js reads them all and writes two, so the tables are read backwards. */

export type Script = {
  /** SpecificCharacterSet. */
  readonly terms: string;
  /** Letters to make names of. */
  readonly letters: string;
  encode(text: string): Buffer;
};

function singleByte(label: string): (text: string) => Buffer {
  const codes = new Map<string, number>();
  const decoder = new TextDecoder(label);
  for (let code = 255; code >= 0; code -= 1) codes.set(decoder.decode(Uint8Array.of(code)), code);
  return (text) => Buffer.from([...text].map((character) => codes.get(character) ?? 0x3f));
}

/** Codes of a two-byte set in EUC form. */
function doubleByte(label: string): Map<string, readonly [number, number]> {
  const codes = new Map<string, readonly [number, number]>();
  const decoder = new TextDecoder(label);
  for (let high = 0xa1; high <= 0xfe; high += 1) {
    for (let low = 0xa1; low <= 0xfe; low += 1) codes.set(decoder.decode(Uint8Array.of(high, low)), [high, low]);
  }
  return codes;
}

const isAscii = (character: string) => character < '\u0080';

/** ISO 2022 with escapes: the designation before each run, and back to ASCII after it where the set is in G0. */
function iso2022(label: string, designation: string, g0: boolean): (text: string) => Buffer {
  const codes = doubleByte(label);
  return (text) => {
    const bytes: number[] = [];
    let isWide = false;
    for (const character of text) {
      const code = codes.get(character);
      if (isAscii(character) || code === undefined) {
        if (isWide && g0) bytes.push(...Buffer.from('\x1b(B', 'latin1'));
        isWide = false;
        bytes.push(character.charCodeAt(0) & 0x7f);
      } else {
        if (!isWide) bytes.push(...Buffer.from(designation, 'latin1'));
        isWide = true;
        bytes.push(...code.map((byte) => (g0 ? byte & 0x7f : byte)));
      }
    }
    if (isWide && g0) bytes.push(...Buffer.from('\x1b(B', 'latin1'));
    return Buffer.from(bytes);
  };
}

const HANGUL =
  '가강건경고광구규근기김나남노다대도동두라련류림마만명모문미민박배백병보봉부산상서석선성세소손수숙순시신안양연영예오옥용우원유윤은이인임자장재전정제조주준중지진차창천철초최춘태평하학한해허현형혜호홍화환황효훈희';
const KANJI =
  '山田太郎鈴木佐藤高橋渡辺伊中村小林加吉斎松井清水口森池石川橋本前岡長谷藤後近坂遠青福西三上原野和島崎竹内金子';

export const SCRIPTS: readonly Script[] = [
  { terms: '', letters: 'abcdefghijklmnopqrstuvwxyz', encode: (text) => Buffer.from(text, 'latin1') },
  { terms: 'ISO_IR 100', letters: 'abcdefghijklmnoprstuvåäöéèüñç', encode: (text) => Buffer.from(text, 'latin1') },
  { terms: 'ISO_IR 192', letters: 'abcdefgłőßžąřşğאבגדהвгджзλμνξ', encode: (text) => Buffer.from(text, 'utf8') },
  { terms: 'ISO_IR 101', letters: 'abcdeěščřžýáíłóąę', encode: singleByte('iso-8859-2') },
  { terms: 'ISO_IR 126', letters: 'αβγδεζηθικλμνξοπρστυφχψω', encode: singleByte('iso-8859-7') },
  { terms: 'ISO_IR 127', letters: 'ابتثجحخدذرزسشصضطظعغفقكلمنهوي', encode: singleByte('iso-8859-6') },
  { terms: 'ISO_IR 138', letters: 'אבגדהוזחטיכלמנסעפצקרשת', encode: singleByte('iso-8859-8') },
  { terms: 'ISO_IR 144', letters: 'абвгдежзиклмнопрстуфхцчшщыэюя', encode: singleByte('iso-8859-5') },
  { terms: 'ISO_IR 166', letters: 'กขคงจฉชซญฎฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหอ', encode: singleByte('windows-874') },
  { terms: 'ISO_IR 13', letters: 'ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜ', encode: halfWidthKana },
  { terms: 'GB18030', letters: '王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹', encode: gbk },
  { terms: '\\ISO 2022 IR 87', letters: KANJI, encode: iso2022('euc-jp', '\x1b$B', true) },
  { terms: '\\ISO 2022 IR 149', letters: HANGUL, encode: iso2022('euc-kr', '\x1b$)C', false) },
  {
    terms: '\\ISO 2022 IR 58',
    letters: '王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗',
    encode: iso2022('gbk', '\x1b$)A', false),
  },
];

function halfWidthKana(text: string): Buffer {
  return Buffer.from(
    [...text].map((character) =>
      isAscii(character) ? character.charCodeAt(0) : character.charCodeAt(0) - 0xff61 + 0xa1,
    ),
  );
}

function gbk(text: string): Buffer {
  gbkCodes ??= doubleByte('gbk');
  return Buffer.concat(
    [...text].map((character) => Buffer.from(gbkCodes?.get(character) ?? [character.charCodeAt(0) & 0x7f])),
  );
}
let gbkCodes: ReadonlyMap<string, readonly [number, number]> | undefined;
