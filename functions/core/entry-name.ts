/** Letters in camelCase, PascalCase, or at most five capitals, and then at most two digits: `apiKey`, `v2`, `URL`. */
export const segment = /^(?:[A-Z]?[a-z]+(?:[A-Z][a-z]+)*(?:[A-Z]{2,3})?|[A-Z]{1,5})\d{0,2}$/;

export const maxLength = 64;
export const maxSegments = 6;
export const maxLetters = 20;
/** `XX12-YY34-ZZ56` is a license key, `aws.s3.v10` is not. */
export const maxDigits = 3;

/**
 * Tells whether a text looks like the name of a field or a configuration entry (`api.key`, `refresh_interval`), and
 * so may be repeated in messages, logs, rows and events. A credential that was put where a name belongs has digits
 * between its letters, changes case at random, or is longer than a word. One made of nothing but words cannot be told
 * from a name.
 */
export function isEntryName(text: string): boolean {
  if (text.length > maxLength || (text.match(/\d/g)?.length ?? 0) > maxDigits) return false;
  const segments = text.split(/[._-]/);
  return (
    segments.length <= maxSegments &&
    segments.every((part) => segment.test(part) && part.replace(/\d+$/, '').length <= maxLetters)
  );
}
