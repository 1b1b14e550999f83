/** The words of a text, without the white space between them. */
export function words(text: string): [string, ...string[]] {
  const [first = '', ...others] = text.trim().split(/\s+/);
  return [first, ...others];
}
