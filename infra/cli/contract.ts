import { commandLine, parseOptions, UsageError } from './command.ts';
import { clientSource } from '../contract/client-source.ts';
import { eventSchemas } from '../contract/events.ts';
import { openApiDocument } from '../contract/openapi.ts';

const help = `npm run -s contract              prints the HTTP API as OpenAPI 3.1
npm run -s contract -- events    prints the incoming and outgoing events as JSON Schema
npm run -s contract -- client    prints a TypeScript client, one file without dependencies`;

const documents = new Map<string, () => string>([
  ['api', () => json(openApiDocument())],
  ['events', () => json(eventSchemas())],
  ['client', clientSource],
]);

const documentOf = commandLine(help, (args) => {
  const { positionals } = parseOptions({ args, allowPositionals: true });
  const [what = 'api', ...more] = positionals;
  const found = documents.get(what);
  if (found && more.length === 0) return found;
  throw new UsageError(`Expected "api" (the default), "events" or "client", got "${positionals.join(' ')}".`);
});
process.stdout.write(documentOf());

function json(document: object): string {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
