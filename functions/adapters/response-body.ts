import { promisify } from 'node:util';

/** Names a content coding that is read; `zlib` is loaded only when an answer has one. */
type Decompress = 'unzip' | 'brotliDecompress';

/**
 * Decompresses an answer, although none is requested: some proxies compress every answer.
 * @param maxBytes of the result
 * @throws RangeError with the code `ERR_BUFFER_TOO_LARGE`, and zlib's errors for a body that is damaged
 */
export async function decompressed(
  body: Buffer<ArrayBuffer>,
  { coding, maxBytes }: { coding: string | undefined; maxBytes: number },
): Promise<Buffer> {
  const how = decompressOf(body, coding);
  if (!how || body.length === 0) return body;
  const zlib = await import('node:zlib');
  return promisify<Buffer, object, Buffer>(zlib[how])(body, { maxOutputLength: maxBytes });
}

/** Gzip is recognized by its first bytes, also where a proxy has lost the header: no JSON begins like that. */
function decompressOf(body: Buffer, coding = ''): Decompress | undefined {
  if (body[0] === 0x1f && body[1] === 0x8b) return 'unzip';
  switch (coding.trim().toLowerCase()) {
    case 'deflate':
      return 'unzip';
    case 'br':
      return 'brotliDecompress';
    default:
      return undefined;
  }
}

/** An integer that a number may not hold exactly, or an escaped half of a surrogate pair. */
const needsCare = /\d{16}|\\u[dD][89a-fA-F]/;

/**
 * Parses an answer. Integers beyond 2^53 come as text with all their digits, and lone surrogates as U+FFFD: no log, row
 * or event can carry them.
 * @returns undefined when it is not JSON
 */
export function parseBody(text: string): unknown {
  try {
    return needsCare.test(text) ? JSON.parse(text, exactly) : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function exactly(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  const isInexact = typeof value === 'number' && !Number.isSafeInteger(value);
  return isInexact && /^-?\d+$/.test(context?.source ?? '') ? context?.source : value;
}
