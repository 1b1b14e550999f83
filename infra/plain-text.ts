/** Makes foreign text safe to print: without control sequences, and without characters that reorder or hide others. */
export function plain(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{C}/gu, '\uFFFD');
}
