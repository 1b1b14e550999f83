import { relayedWords } from './relayed-words.ts';

/** What of a call decides which words of its answer may be relayed. */
export type Relaying = {
  /** The element's key and the names of its documented entries: relayed whatever the credentials are. */
  names?: readonly string[] | undefined;
  /** Values that must not come back: credentials of the request and of the platform. */
  secrets?: readonly unknown[] | undefined;
};

const withheld = '…';

/** The rest of a longer message is not read, and not more than this of it is relayed. */
const maxReadCharacters = 2_000;
const maxRelayedCharacters = 300;

/** By chance, a credential and a sentence hardly ever have so many letters of whole words in common. */
const telltaleLetters = 4;

/** A chunk between two white spaces: quotes and brackets, what is between them, and the punctuation after it. */
const chunkPattern = /^(["'([{]{0,2})(.*?)(["')\]}.,:;!?]{0,2})$/;

/** Joins words to one chunk: `oauth.api.key`, `user/organization`, `re-authenticate`. */
const joint = /[-./,:;_]/;

/** Words of one chunk, lower-case letters alone; a name counts as none. */
type Relayable = { text: string; words: string[] };

/**
 * Relays what Cloud Elements says word by word: the words of a fixed list, the element's key and its entries' names as
 * they are, and "…" for everything else, numbers too. So a credential cannot come back in it, in whatever encoding, cut
 * or quoted: between two white spaces there must be nothing but listed words and plain punctuation, in the letter case
 * of a sentence.
 *
 * A credential that is made of listed words would get through, so words that occur in one become "…" as well. That takes
 * knowing it: of one that Cloud Elements has stored and this request did not send, listed words do get through.
 *
 * @returns undefined when not one word can be relayed
 */
export function relay(message: string, { names = [], secrets = [] }: Relaying): string | undefined {
  const credentials = secrets.map(credentialOf);
  const chunks = message.slice(0, maxReadCharacters).split(/\s+/).filter(Boolean);
  // The last one may have been cut in two, and be a word by that.
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

const withoutDashes = (text: string): string => text.replaceAll('-', '');

/** Relays Cloud Elements' id of a request if it has the form of one and is in none of the credentials. */
export function relayRequestId(id: string | undefined, { secrets = [] }: Relaying): string | undefined {
  if (id === undefined || !requestIdPattern.test(id)) return undefined;
  const digits = withoutDashes(id.toLowerCase());
  return secrets.some((secret) => withoutDashes(textOf(secret)).includes(digits)) ? undefined : id;
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
