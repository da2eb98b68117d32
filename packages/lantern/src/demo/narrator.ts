/** Tells the story of the demo as it happens, and keeps the facts for `--json`. */
import type { Writable } from 'node:stream';

export type Narrator = {
  chapter(title: string): void;
  say(text: string): void;
  table(text: string): void;
  fact(name: string, value: unknown): void;
  /** Adds to a list of facts. */
  addFact(name: string, value: unknown): void;
  readonly facts: Readonly<Record<string, unknown>>;
};

const WIDTH = 110; // fits the terminal of a projector

export function createNarrator(stream: Writable, options: { nowMs: () => number }): Narrator {
  const facts: Record<string, unknown> = {};
  const startMs = options.nowMs();
  let chapterNumber = 0;
  return {
    facts,
    chapter(title) {
      chapterNumber += 1;
      const seconds = ((options.nowMs() - startMs) / 1000).toFixed(1);
      stream.write(`\n${chapterNumber}. ${title}  [${seconds} s]\n${'─'.repeat(Math.min(WIDTH, title.length + 20))}\n`);
    },
    say(text) {
      for (const line of wrap(text)) stream.write(`   ${line}\n`);
    },
    table(text) {
      stream.write(
        `\n${text
          .split('\n')
          .map((line) => `   ${line}`)
          .join('\n')}\n\n`,
      );
    },
    fact(name, value) {
      facts[name] = value;
    },
    addFact(name, value) {
      const list = facts[name];
      facts[name] = [...(Array.isArray(list) ? list : []), value];
    },
  };
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + word.length + 1 > WIDTH) {
        lines.push(line);
        line = '';
      }
      line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}
