/**
 * Words in camelCase, PascalCase or at most five capitals, and then at most two digits: `apiKey`, `v2`, `URL`; or a
 * digit between two letters: `c4c`.
 */
export const segmentPattern =
  /^(?:[A-Z]?[a-z]+(?:[A-Z][a-z]+){0,3}(?:[A-Z]{2,3})?\d{0,2}|[A-Z]{1,5}\d{0,2}|[a-z]\d[a-z])$/;

export const maxLength = 64;
export const maxSegments = 6;
export const maxLettersOfSegment = 20;
/** `ABCDE12-FGHIJ34` is a license key, `aws.s3.v10` is not. */
export const maxDigits = 3;
/** Of one or two letters, as in `idToken`. Random letters change their case every second time. */
const maxShortWords = 2;

/**
 * Tells whether a text looks like the name of a field or a configuration entry (`api.key`, `refresh_interval`), and
 * so may be repeated in messages, logs, rows and events. A credential that was put where a name belongs has digits
 * between its letters, changes case at random, or is longer than a word. One made of nothing but words cannot be told
 * from a name.
 */
export function isEntryName(text: string): boolean {
  if (text.length > maxLength || matches(/\d/g, text).length > maxDigits) return false;
  const segments = text.split(/[._-]/);
  const words = matches(/[A-Z]?[a-z]+|[A-Z]+/g, text);
  return (
    segments.length <= maxSegments &&
    segments.every((segment) => segmentPattern.test(segment)) &&
    segments.every((segment) => matches(/[a-z]/gi, segment).length <= maxLettersOfSegment) &&
    words.filter(({ length }) => length <= 2).length <= maxShortWords
  );
}

const matches = (pattern: RegExp, text: string): readonly string[] => text.match(pattern) ?? [];
