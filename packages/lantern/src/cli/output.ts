/**
 * What a command prints. With `--json`: one JSON document on standard output and nothing else there. Otherwise text for a
 * person. Progress and warnings go to standard error, so a pipe sees only the result.
 */
import type { Writable } from 'node:stream';

export type Output = {
  readonly json: boolean;
  /** The result of the command: `value` for machines, `text` for people. */
  result(value: unknown, text: string): void;
  note(text: string): void;
  progress(label: string): Progress;
};

export type Progress = { update(done: number, total: number, detail?: string): void; end(): void };

type Streams = { readonly stdout: Writable; readonly stderr: Writable & { isTTY?: boolean } };

export function createOutput(streams: Streams, options: { json: boolean }): Output {
  return {
    json: options.json,
    result(value, text) {
      streams.stdout.write(options.json ? `${JSON.stringify(value, null, 2)}\n` : `${text.trimEnd()}\n`);
    },
    note(text) {
      if (!options.json) streams.stderr.write(`${text}\n`);
    },
    progress: (label) => createProgress(streams.stderr, { label, silent: options.json }),
  };
}

const BAR_WIDTH = 28;

/** A bar that redraws itself on a terminal; elsewhere a line at each tenth, so that a log stays readable. */
function createProgress(stream: Writable & { isTTY?: boolean }, options: { label: string; silent: boolean }): Progress {
  let lastTenth = -1;
  let drawn = false;
  return {
    update(done, total, detail = '') {
      if (options.silent || total <= 0) return;
      const share = Math.min(1, done / total);
      if (stream.isTTY === true) {
        const filled = Math.round(share * BAR_WIDTH);
        const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
        stream.write(`\r\u001b[K${options.label} ${bar} ${Math.round(share * 100)} % ${detail}`);
        drawn = true;
        return;
      }
      const tenth = Math.floor(share * 10);
      if (tenth > lastTenth) stream.write(`${options.label}: ${tenth * 10} % ${detail}\n`);
      lastTenth = tenth;
    },
    end() {
      if (drawn) stream.write('\n');
      drawn = false;
    },
  };
}

/**
 * Text of somebody else in one line, as it is: control characters could draw over what stands around it, and characters that
 * change the direction of writing could reorder it (CVE-2021-42574).
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\r?\n/g, ' ⏎ ')
    .replaceAll(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

/** A plain table: first row is the header, columns padded, numbers right-aligned. */
export function table(written: readonly (readonly string[])[]): string {
  const rows = written.map((row) => row.map(printable));
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => displayWidth(row[column] ?? ''))));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        pad(cell, { width: widths[column] ?? 0, right: column > 0 && /^[-+]?[\d.]+( %)?$|^-$/.test(cell) }),
      )
      .join('  ')
      .trimEnd(),
  );
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  return [lines[0] ?? '', rule, ...lines.slice(1)].join('\n');
}

function displayWidth(text: string): number {
  return [...text].length;
}

function pad(text: string, options: { width: number; right: boolean }): string {
  const fill = ' '.repeat(Math.max(0, options.width - displayWidth(text)));
  return options.right ? fill + text : text + fill;
}
