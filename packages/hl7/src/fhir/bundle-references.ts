/** Names inside a resource that point to other entries of its bundle, put in the place of the names that these get when stored. */
import { isJsonObject, type JsonValue } from './json.ts';

/**
 * Changes `value` itself: every text for which `nameFor` has another is replaced. By R4 (http.html#trules) these are references and
 * also uris, wherever they stand; a name of an entry is long and unique enough to be no other text by chance.
 */
export function replaceTexts(value: JsonValue, nameFor: (text: string) => string | undefined): void {
  const stack: JsonValue[] = [value];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if (Array.isArray(item)) {
      item.forEach((child, index) => {
        if (typeof child === 'object' && child !== null) stack.push(child);
        const other = typeof child === 'string' ? nameFor(child) : undefined;
        if (other !== undefined) item[index] = other; // writing is dearer than looking
      });
    } else if (isJsonObject(item)) {
      for (const name in item) {
        const child = item[name];
        if (typeof child === 'object' && child !== null) stack.push(child);
        const other = typeof child === 'string' ? nameFor(child) : undefined;
        if (other !== undefined) item[name] = other;
      }
    }
  }
}
