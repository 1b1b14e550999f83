const encoder = new TextEncoder();
const ellipsis = '…';
const ellipsisBytes = encoder.encode(ellipsis).length;

/** Cuts a text to `maxBytes` of UTF-8 at most, never inside a character. One that was cut ends with "…". */
export function cutToBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const { read } = encoder.encodeInto(text, new Uint8Array(maxBytes - ellipsisBytes));
  return text.slice(0, read) + ellipsis;
}

/** At most this many problems of a request, an event or a row are named. */
export const maxNamed = 20;

/** Joins the first 20 of a list, and says how many more there are. */
export function joinNamed(items: readonly string[], separator: string): string {
  const more = items.length - maxNamed;
  const named = items.slice(0, maxNamed).join(separator);
  return more > 0 ? `${named}${separator}and ${more} more` : named;
}
