/** A quotation of this length reveals a secret; a parser's error quotes as much. By chance it never occurs. */
export const quotedLength = 10;

/** The ways in which a text may hold a secret. */
const forms: [string, (secret: string) => string[]][] = [
  ['raw', (secret) => [secret]],
  ['in JSON', (secret) => [inJson(secret)]],
  ['in JSON in JSON', (secret) => [inJson(inJson(secret))]],
  ['in a URL', (secret) => [encodeURIComponent(secret)]],
  ['in a form', (secret) => [new URLSearchParams({ '': secret }).toString().slice(1)]],
  ['in a URL, in small letters', (secret) => [inSmallPercents(secret)]],
  ['in JSON, with \\u', (secret) => [withUnicodeEscapes(secret)]],
  ['in HTML', (secret) => [inHtml(secret)]],
  ['in hex', (secret) => [Buffer.from(secret).toString('hex')]],
  ['in small letters', (secret) => [secret.toLowerCase()]],
  ['in capitals', (secret) => [secret.toUpperCase()]],
  ['in base64', (secret) => [0, 1, 2].map((offset) => inBase64(secret, offset, 'base64'))],
  ['in base64url', (secret) => [0, 1, 2].map((offset) => inBase64(secret, offset, 'base64url'))],
];

export const inJson = (text: string) => JSON.stringify(text).slice(1, -1);

export const inSmallPercents = (text: string) =>
  encodeURIComponent(text).replaceAll(/%../g, (percents) => percents.toLowerCase());

export const withUnicodeEscapes = (text: string) =>
  text.replaceAll(/\W/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const inHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');

/** Without the characters at both ends that depend on the text before and after. */
function inBase64(secret: string, offset: number, encoding: 'base64' | 'base64url'): string {
  const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(secret)]);
  return bytes.toString(encoding).slice(Math.ceil((offset * 8) / 6), Math.floor((bytes.length * 8) / 6));
}

function quotationsIn(text: string, step = 1): string[] {
  const count = Math.floor(Math.max(0, text.length - quotedLength + step) / step);
  return Array.from({ length: count }, (_, index) => text.slice(index * step, index * step + quotedLength));
}

/** Looks for secrets in texts, in any form, whole or quoted in part. */
export function createLeakSearch() {
  const quotations = new Map<string, string>();
  return {
    /**
     * Adds a secret to the search.
     * @param step among thousands of secrets, 10 searches for every tenth quotation only, which finds any 19 characters
     */
    plant(what: string, secret: string, { step = 1 } = {}): void {
      for (const [form, write] of forms) {
        for (const quotation of write(secret).flatMap((text) => quotationsIn(text, step))) {
          quotations.set(quotation, `${what}, ${form}`);
        }
      }
    },
    /** The leaks in the texts: secret, form, and text. */
    leaksIn(texts: readonly string[]): string[] {
      return texts.flatMap((text) => {
        const leaks = new Set(quotationsIn(text).flatMap((quotation) => quotations.get(quotation) ?? []));
        return [...leaks].map((leak) => `${leak}: ${text.slice(0, 300)}`);
      });
    },
  };
}

export type LeakSearch = ReturnType<typeof createLeakSearch>;
