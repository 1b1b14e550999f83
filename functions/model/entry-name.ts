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
 * Which letters follow each letter from "a" to "z" in the words of documentation and in names of products. "qz" and
 * "vk" are in none of them.
 */
const followers = (
  'bcdfghiklmnprstuvwxyz abcdehijlmnoprstuy acdehiklorstuwy abcdegijlmnorsuvwy abcdefghijlmnopqrstuvwxy aefilorstuy ' +
  'aceghilmnorstu adeimnoprstuy abcdefgklmnoprstvxz aeosu aefilnsuv abcdefgiklmnopstuvy abeilmopstu ' +
  'abcdefghijklmnoprstuvy abcdefghijklmnoprstuvwxyz adeghiloprstuy u abcdefgiklmnoprstuvwy acefhiklmnopstuwy ' +
  'abcdefghilmnoprstuwy abcdefgilmnoprst aeio aehilnors aceipt abceilmnopstw aeio'
).split(' ');
/** In the whole of a name: some abbreviations have one. */
const maxRarePairs = 1;

/** Pairs of letters that words do not have. Sixteen random letters have at least two of them in 99 of 100 cases. */
export function rarePairsIn(text: string): number {
  return matches(/[a-z]+/g, text.toLowerCase())
    .flatMap((word) =>
      word
        .slice(1)
        .split('')
        .map((second, index) => [word.charCodeAt(index) - 97, second] as const),
    )
    .filter(([first, second]) => !followers[first]?.includes(second)).length;
}

/**
 * Returns whether a text looks like the name of a field or a configuration entry (`api.key`, `refresh_interval`), and
 * so may be repeated in messages, logs, rows and events. A credential that was put where a name belongs has digits
 * between its letters, changes case at random, is longer than a word, or has letters beside each other that words do
 * not have. One made of words alone looks like a name.
 */
export function isEntryName(text: string): boolean {
  if (text.length > maxLength || matches(/\d/g, text).length > maxDigits) return false;
  const segments = text.split(/[._-]/);
  const words = matches(/[A-Z]?[a-z]+|[A-Z]+/g, text);
  return (
    segments.length <= maxSegments &&
    segments.every((segment) => segmentPattern.test(segment)) &&
    segments.every((segment) => matches(/[a-z]/gi, segment).length <= maxLettersOfSegment) &&
    words.filter(({ length }) => length <= 2).length <= maxShortWords &&
    rarePairsIn(text) <= maxRarePairs
  );
}

/** Documented ones, such as `sapc4ccloud` and `sage300`, have far fewer. */
export const maxDigitsOfKey = 8;
export const maxTurnsOfKey = 4;
const maxRarePairsOfKey = 2;

/**
 * Returns whether a text looks like the key of an element (`taxify`, `freshdeskv2`). A credential that was put in its
 * place has many digits, or changes between digits and letters more often, or has letters that words do not have.
 */
export function isElementKey(text: string): boolean {
  return (
    matches(/\d/g, text).length <= maxDigitsOfKey &&
    matches(/[a-z](?=\d)|\d(?=[a-z])/g, text).length <= maxTurnsOfKey &&
    rarePairsIn(text) <= maxRarePairsOfKey
  );
}

const matches = (pattern: RegExp, text: string): readonly string[] => text.match(pattern) ?? [];
