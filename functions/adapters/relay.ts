import { isEntryName } from '../model/entry-name.ts';
import { leavesOf } from '../model/entry-value.ts';
import { relayedWords } from './relayed-words.ts';

/** What of a call decides which words of its answer may be relayed. */
export type Relaying = {
  /** The element's key and the names of its documented entries. Relayed even where a credential equals one. */
  names?: readonly string[] | undefined;
  /** Values that must not come back: credentials of the request and of the platform. */
  secrets?: readonly unknown[] | undefined;
};

const withheld = '…';

/** A longer message is cut before it is read, and the relayed text once more. */
const maxReadCharacters = 2_000;
const maxRelayedCharacters = 300;

/** Words with this many letters in all hardly ever occur in a credential by chance. */
const telltaleLetters = 4;

/** A chunk without white space: opening quotes and brackets, the words, and the punctuation after them. */
const chunkPattern = /^(["'([{]{0,2})(.*?)(["')\]}.,:;!?]{0,2})$/;

/** Joins words to a chunk: `oauth.api.key`, `user/organization`, `re-authenticate`. */
const joint = /[-./,:;_]/;

/** `words`: the words of the chunk in lower case, names left out. */
type Relayable = { text: string; words: string[] };

/**
 * Relays a message of Cloud Elements word by word. Listed words, the element's key and the names of its entries stay as
 * they are; everything else, numbers included, becomes "…". No list of encodings could be complete, but an encoded, cut
 * or quoted credential is no sequence of listed words and plain punctuation, in a sentence's letter case.
 *
 * A credential that is made of listed words would be, so words that occur in a credential become "…" as well. The
 * limit: a credential that Cloud Elements has stored and that this request did not send is not known here, and its
 * listed words are relayed.
 *
 * @returns undefined if no word can be relayed
 */
export function relay(message: string, { names = [], secrets = [] }: Relaying): string | undefined {
  const credentials = secrets.flatMap(partsOf).map(credentialOf);
  const chunks = message.slice(0, maxReadCharacters).split(/\s+/).filter(Boolean);
  // The cut may have made a listed word of the last one.
  if (message.length > maxReadCharacters) chunks[chunks.length - 1] = withheld;
  const relayable = chunks.map((chunk) => relayableOf(chunk, names));

  const texts: string[] = [];
  let length = 0;
  for (const chunk of withoutCredentials(relayable, credentials)) {
    length += (chunk?.text.length ?? 0) + 1;
    const text = length > maxRelayedCharacters ? withheld : (chunk?.text ?? withheld);
    if (text !== withheld || texts.at(-1) !== withheld) texts.push(text);
  }
  const text = texts.join(' ').replace(/\.$/, '');
  return text === '' || text === withheld ? undefined : text;
}

/** A MongoDB object id or a UUID; a key may have the same form. */
const requestIdPattern = /^([\da-f]{24}|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12})$/i;

export const hasFormOfRequestId = (id: string | undefined): id is string =>
  id !== undefined && requestIdPattern.test(id);

/** Relays Cloud Elements' id of a request if it has the form of one and repeats none of the credentials. */
export function relayRequestId(
  id: string | undefined,
  repeatsSecret: (text: string) => boolean,
): string | undefined {
  return hasFormOfRequestId(id) && !repeatsSecret(id) ? id : undefined;
}

/** So many characters in common are no chance, neither in hexadecimal digits nor in Base64. */
const telltaleCharacters = 8;

/**
 * Returns a function that recognizes the values in a text: the text is one of them, has one within it, or is within one.
 * Also in hexadecimal digits, in Base64 and backwards, in any letter case and with any punctuation in between. The
 * forms of the values are made once, with the first text.
 */
export function repeatsAny(secrets: readonly unknown[]): (text: string) => boolean {
  let known: { secret: string; forms: Form[] }[] | undefined;
  return (text) => {
    known ??= secrets.flatMap(textsIn).map((secret) => ({ secret, forms: formsOf(secret) }));
    const said = formsOf(text);
    return known.some(
      ({ secret, forms }) =>
        text === secret ||
        text === backwards(secret) ||
        forms.some((form) => said.some((each) => isWithin(each, form) || isWithin(form, each))),
    );
  };
}

/** Reversed once per text, not once per comparison: every response is compared with every credential. */
type Form = { forwards: string; backwards: string };

const isWithin = (part: Form, { forwards: whole }: Form): boolean =>
  part.forwards.length >= telltaleCharacters &&
  (whole.includes(part.forwards) || whole.includes(part.backwards));

const backwards = (text: string): string => text.split('').toReversed().join('');

/** The text as it is and encoded, and the bytes that hexadecimal digits stand for; letters and digits alone. */
function formsOf(text: string): Form[] {
  const bytes = Buffer.from(text);
  const plain = lettersAndDigits(text);
  const forms = [plain, bytes.toString('hex'), base64Of(bytes)];
  const isHex = plain.length % 2 === 0 && /^[\da-f]+$/i.test(plain);
  if (isHex) forms.push(base64Of(Buffer.from(plain, 'hex')));
  return forms.map((form) => {
    const forwards = form.toLowerCase();
    return { forwards, backwards: backwards(forwards) };
  });
}

/** Without its punctuation. */
const base64Of = (bytes: Buffer): string => bytes.toString('base64').replaceAll(/[+/=]/g, '');

/** Letters and digits of any script: a value of other characters alone is compared as it is. */
const lettersAndDigits = (text: string): string => text.normalize('NFKD').replace(/[^\p{L}\p{N}]/gu, '');

/** The texts of a value; numbers and truth values as they are written. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(textsIn);
  return [String(value)];
}

function relayableOf(chunk: string, names: readonly string[]): Relayable | undefined {
  const [, before = '', core = '', after = ''] = chunkPattern.exec(chunk) ?? [];
  const text = `${before}${core}${after}`;
  if (names.includes(core)) return { text, words: [] };
  if (isListed(core)) return { text, words: [lettersOf(core)] };
  const parts = core.split(joint);
  if (!parts.every((part) => names.includes(part) || isListed(part))) return undefined;
  return { text, words: parts.filter((part) => !names.includes(part)).map(lettersOf) };
}

const lettersOf = (word: string): string => word.toLowerCase().replace("'", '');

/** As it is in the list, or with a capital at its beginning. */
const isListed = (word: string): boolean =>
  relayedWords.has(word) || relayedWords.has(word.charAt(0).toLowerCase() + word.slice(1));

/** Each text of an object or a list is a credential of its own, and so is a name in it that does not look like one. */
function partsOf(secret: unknown): unknown[] {
  return leavesOf(secret).flatMap(({ names, leaf }) => [leaf, ...names.filter((name) => !isEntryName(name))]);
}

/** Full-width and accented letters become plain ones. */
const textOf = (secret: unknown): string =>
  (typeof secret === 'string' ? secret : JSON.stringify([secret])).normalize('NFKD').toLowerCase();

type Credential = { letters: string; words: ReadonlySet<string> };

/** Letters alone, forwards and backwards: what stands between them may be left out, or encoded, where it is quoted. */
function credentialOf(secret: unknown): Credential {
  const plain = textOf(secret);
  const words = plain.match(/[a-z]+/g) ?? [];
  const letters = words.join('');
  return {
    letters: `${letters} ${letters.split('').toReversed().join('')}`,
    // One letter among others gives nothing away, and a key in hexadecimal digits nearly always has an "a".
    words: new Set(words.filter((word) => word.length > 1 || word === letters)),
  };
}

/** No credential has it among its letters. */
const gap = '|';

/** Withholds the chunks whose words occur in a credential: alone, or one after the other. */
function withoutCredentials(
  chunks: readonly (Relayable | undefined)[],
  credentials: readonly Credential[],
): (Relayable | undefined)[] {
  const kept = [...chunks];
  const spoken = chunks.flatMap((chunk, index) => (chunk?.words ?? [gap]).map((word) => ({ word, index })));
  for (const { letters, words } of credentials) {
    for (const [start, { word, index }] of spoken.entries()) {
      if (words.has(word)) kept[index] = undefined;
      let run = '';
      let end = start;
      for (let next = spoken[end]; next && letters.includes(run + next.word); next = spoken[end]) {
        run += next.word;
        end += 1;
      }
      if (run.length < telltaleLetters) continue;
      for (const each of spoken.slice(start, end)) kept[each.index] = undefined;
    }
  }
  return kept;
}
