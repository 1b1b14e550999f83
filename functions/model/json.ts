/**
 * The one reader of JSON from outside. `JSON.parse` silently changes three things that may be a credential or hide one:
 * a number that no double holds in its own digits, a name that an object has twice, and `__proto__`, which schemas
 * leave out. Their places get an entry with a name that no schema of ours knows, so strict ones refuse it, and those
 * that ignore unknown fields, as of the details of others, ignore it.
 */
export function parseJson(text: string): { json: unknown } | { fault: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { fault: faultOf(text, error) };
  }
  const marked = withMarks(text);
  return { json: marked === text ? json : JSON.parse(marked) };
}

const numberMark = '\u0000number';
const protoMark = '\u0000proto';
const twiceMark = '\u0000twice ';

/** What the name of an added entry says: which name is wrong, if not the whole value, and what is expected. */
export function markIn(name: string): { name?: string; expected: string } | undefined {
  if (name === numberMark) return { expected: exactNumber };
  if (name === protoMark || name === '__proto__')
    return { name: '__proto__', expected: 'another name than __proto__' };
  return name.startsWith(twiceMark)
    ? { name: name.slice(twiceMark.length), expected: 'each name only once' }
    : undefined;
}

const exactNumber = 'a number as JSON carries it exactly, such as 1.1 for 1.10; send any other as text';

/** Of valid JSON: strings, those that are names with their colon, numbers and the ends of objects. */
const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|-?\d[\d.eE+-]*|[{}]/g;

function withMarks(text: string): string {
  /** Of the objects around the place. */
  const names: Set<string>[] = [];
  return text.replaceAll(tokens, (token: string, colon: string | undefined) => {
    if (token === '{') names.push(new Set());
    else if (token === '}') names.pop();
    else if (colon !== undefined) return markOf(token.slice(0, -colon.length), names.at(-1)) + token;
    else if (!token.startsWith('"') && String(Number(token)) !== token) return `{${entryOf(numberMark)}}`;
    return token;
  });
}

function markOf(quoted: string, names: Set<string> | undefined): string {
  const name = String(JSON.parse(quoted));
  if (name === '__proto__') return `${entryOf(protoMark)},`;
  if (names?.has(name)) return `${entryOf(twiceMark + name)},`;
  names?.add(name);
  return '';
}

const entryOf = (name: string): string => `${JSON.stringify(name)}:0`;

/** Says where, and never quotes the text: it may hold a credential. */
function faultOf(text: string, error: unknown): string {
  const said = error instanceof SyntaxError ? /at position (\d+)/.exec(error.message)?.[1] : undefined;
  const position = said === undefined ? firstStrangerIn(text) : Number(said);
  if (position >= text.length) return 'JSON';
  const before = text.slice(0, position).split('\n');
  const hint = hints.find(([signs]) => signs.test(text.charAt(position)))?.[1] ?? '';
  return `JSON; it breaks at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}${hint}`;
}

const hints: readonly [RegExp, string][] = [
  [/[\u2018-\u201f\u00ab\u00bb\u2033\uff02]/, ': use straight quotes (") in place of curly ones'],
  [/'/, ': names and text are put in double quotes (")'],
];

/** Where something begins that is no part of JSON. For some faults V8 gives no position. */
function firstStrangerIn(text: string): number {
  const lexeme = /\s|"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/y;
  let end = 0;
  while (lexeme.test(text)) end = lexeme.lastIndex;
  return end;
}
