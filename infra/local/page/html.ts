import { plain } from '../../plain-text.ts';

/** Markup that was written by `html`. */
export type Html = { readonly markup: string };

type Value = Html | string | number | undefined | false | readonly Value[];

/** Escapes every value but markup and lists of it. Quote attributes with `"`. `undefined` and `false` are left out. */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  const markup = strings.map((text, index) => (index === 0 ? text : `${markupOf(values[index - 1])}${text}`));
  return { markup: markup.join('') };
}

function markupOf(value: Value): string {
  if (value === undefined || value === false) return '';
  if (typeof value === 'string' || typeof value === 'number') return escaped(String(value));
  return 'markup' in value ? value.markup : value.map(markupOf).join('');
}

const escaped = (text: string): string =>
  plain(text).replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
