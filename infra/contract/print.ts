import { eventSchemas } from './events.ts';
import { openApiDocument } from './openapi.ts';

/** `npm run contract`: the OpenAPI document of the HTTP API; `npm run contract events`: the events' JSON Schemas. */

const [what = 'api', ...more] = process.argv.slice(2);
const documents = new Map<string, () => object>([
  ['api', openApiDocument],
  ['events', eventSchemas],
]);
const documentOf = documents.get(what);
if (!documentOf || more.length > 0) {
  process.stderr.write('One of "api" (the default) and "events" can be printed.\n');
  process.exit(2);
}
process.stdout.write(`${JSON.stringify(documentOf(), undefined, 2)}\n`);
