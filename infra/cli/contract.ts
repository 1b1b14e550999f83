import { commandLine, parseOptions, UsageError } from './command.ts';
import { eventSchemas } from '../contract/events.ts';
import { openApiDocument } from '../contract/openapi.ts';

const help = `npm run -s contract              prints the HTTP API as OpenAPI 3.1
npm run -s contract -- events    prints the incoming and outgoing events as JSON Schema`;

const documents = new Map<string, () => object>([
  ['api', openApiDocument],
  ['events', eventSchemas],
]);

const documentOf = commandLine(help, (args) => {
  const { positionals } = parseOptions({ args, allowPositionals: true });
  const [what = 'api', ...more] = positionals;
  const found = documents.get(what);
  if (found && more.length === 0) return found;
  throw new UsageError(`Expected "api" (the default) or "events", got "${positionals.join(' ')}".`);
});
process.stdout.write(`${JSON.stringify(documentOf(), undefined, 2)}\n`);
