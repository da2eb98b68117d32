/**
 * Reads text with Tesseract (Apache-2.0), which Debian packages as tesseract-ocr: a process per image, which gets the picture on
 * standard input and answers a table. The program is the machine's; where it is missing, `findTesseract` says so.
 */
import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { DicomError } from '../dicom-error.ts';
import type { FoundText, GreyImage, TextReader } from './text-reader.ts';

/** Below, Tesseract guesses [percent]. */
const CONFIDENCE_MIN = 45;
/** Letters of ten pixels are half of what Tesseract reads well. */
const ENLARGEMENT = 3;
/** Larger images are read without it: nine times a mammogram would not fit into the patience of anybody. */
const ENLARGED_PIXELS_MAX = 3_000_000;
const TIMEOUT_MS = 120_000;

export type TesseractReader = { readonly version: string; readonly read: TextReader };

/** `undefined` where the program is not installed. */
export function findTesseract(program = 'tesseract'): TesseractReader | undefined {
  const asked = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: TIMEOUT_MS });
  if (asked.status !== 0) return undefined;
  const version = /tesseract (\S+)/.exec(`${asked.stdout}${asked.stderr}`)?.[1] ?? 'unknown';
  return { version, read: (image, signal) => readText(program, image, signal) };
}

async function readText(program: string, image: GreyImage, signal?: AbortSignal): Promise<readonly FoundText[]> {
  const factor = image.width * image.height * ENLARGEMENT ** 2 <= ENLARGED_PIXELS_MAX ? ENLARGEMENT : 1;
  const enlarged = enlarge(image, factor);
  // Burned-in text is bright on dark or dark on bright, often both: each is read.
  const answers = await Promise.all(
    [enlarged, negative(enlarged)].map((picture) => runTesseract(program, portableGreyMap(picture), signal)),
  );
  return answers.flatMap((table) => foundIn(table, factor));
}

async function runTesseract(program: string, picture: Buffer, signal?: AbortSignal): Promise<string> {
  // Page segmentation 11: sparse text, in no order.
  const child = spawn(program, ['-', '-', '--psm', '11', '-l', 'eng', 'tsv'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  child.stdin.on('error', () => {}); // it ended before it read all; its exit code says so
  child.stdin.end(picture);
  const [table, exitCode] = await Promise.all([text(child.stdout), ended]);
  if (exitCode !== 0) throw new DicomError('reader', `The text reader ended with ${exitCode ?? 'a signal'}.`);
  return table;
}

/** Columns of the table: level page block paragraph line word left top width height confidence text. */
function foundIn(table: string, factor: number): FoundText[] {
  return table.split('\n').flatMap((line) => {
    const columns = line.split('\t');
    const [left, top, width, height, confidence] = columns.slice(6, 11).map(Number);
    const word = columns[11]?.trim() ?? '';
    if (left === undefined || top === undefined || width === undefined || height === undefined || word === '')
      return [];
    if (confidence === undefined || !(confidence >= CONFIDENCE_MIN)) return [];
    const pixels = (value: number) => Math.round(value / factor);
    return [{ text: word, confidence, x: pixels(left), y: pixels(top), width: pixels(width), height: pixels(height) }];
  });
}

function negative({ width, height, pixels }: GreyImage): GreyImage {
  return { width, height, pixels: pixels.map((value) => 255 - value) };
}

/** Nearest neighbour: each pixel becomes a square. */
function enlarge({ width, height, pixels }: GreyImage, factor: number): GreyImage {
  if (factor === 1) return { width, height, pixels };
  const enlarged = new Uint8Array(width * height * factor * factor);
  for (let y = 0; y < height * factor; y += 1) {
    const row = Math.floor(y / factor) * width;
    for (let x = 0; x < width * factor; x += 1)
      enlarged[y * width * factor + x] = pixels[row + Math.floor(x / factor)] ?? 0;
  }
  return { width: width * factor, height: height * factor, pixels: enlarged };
}

function portableGreyMap({ width, height, pixels }: GreyImage): Buffer {
  return Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`), pixels]);
}
