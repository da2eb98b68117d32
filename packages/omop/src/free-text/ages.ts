/** Ages above 89, which are as rare as a name: the number goes, the word beside it stays. Others stay. */
import type { Found } from './finding.ts';

const AGE = '(?<![\\d.,/])(?:9\\d|1[01]\\d)';
const WORDS = 'ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:a |one )?hundred';
const AFTER =
  '(?=[- ]?(?:years?|yrs?|y)[- /]?(?:old|o\\b|of age)|[- ](?:years?|yrs?)[- ](?:lady|gentleman|man|woman|male|female)|[- ]?(?:yo|y/o|yrs)\\b)';
const PATTERNS: readonly RegExp[] = [
  new RegExp(`(?:${AGE}|(?<!\\p{L})(?:${WORDS}))${AFTER}`, 'giu'),
  new RegExp(`(?<=\\b(?:aged?|age of|turned)(?: is|:)? ?)(?:${AGE}|${WORDS})(?![\\d.,/%]*\\d|\\p{L})`, 'giu'),
];

export function findAges(text: string): Found[] {
  return PATTERNS.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(
      ({ index, 0: age }): Found => ({ kind: 'age', start: index, end: index + age.length }),
    ),
  );
}
