/**
 * Names of people as they are compared (PS3.4 C.2.2.2.1 leaves it to the archive): without regard to case, to spaces around a
 * component, and to empty components at the end. Made here and not by the database, whose upper-case letters depend on its locale.
 *
 *   "Yamada^Tarou^^=山田^太郎" -> "yamada^tarou=山田^太郎="      always three groups, so that one index finds the first of them
 */
const GROUP_COUNT = 3;
/** Twice what PN allows; an index entry would not hold what some write. */
const GROUP_LENGTH_MAX = 128;

export function nameKey(name: string): string {
  const groups = name.split('=');
  return Array.from({ length: GROUP_COUNT }, (_, index) => groupKey(groups[index] ?? '')).join('=');
}

/** One component group. Upper case first: there ß is SS, and every sigma is one. */
export function groupKey(group: string): string {
  const folded = group.normalize('NFC').toUpperCase().toLowerCase();
  return folded
    .split('^')
    .map((component) => component.trim())
    .join('^')
    .replace(/\^+$/, '')
    .slice(0, GROUP_LENGTH_MAX)
    .toWellFormed();
}
