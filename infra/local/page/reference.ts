import { fileURLToPath } from 'node:url';
import { openApiDocument } from '../../contract/openapi.ts';
import { frame } from './document.ts';
import { html, type Html } from './html.ts';

/** The API reference: Swagger UI over the contract's document, everything from node_modules. */

const swaggerFile = (name: string): string => fileURLToPath(import.meta.resolve(`swagger-ui-dist/${name}`));

/** Files by their paths on the page's server. */
export const referenceFiles = {
  '/api/swagger-ui.css': swaggerFile('swagger-ui.css'),
  '/api/swagger-ui-bundle.js': swaggerFile('swagger-ui-bundle.js'),
};

/** The contract as `npm run contract` prints it, with the address of this stack before those of deployments. */
export function referenceDocument(apiUrl: string) {
  const document = openApiDocument();
  return { ...document, servers: [{ url: apiUrl, description: 'This local stack' }, ...document.servers] };
}

export function referencePage(): Html {
  return frame({
    path: '/api',
    styles: ['/api/swagger-ui.css', '/frame.css'],
    scripts: html`<script src="/api/swagger-ui-bundle.js" defer></script>
      <script type="module" src="/reference.js"></script>`,
    status: html`<p><a href="/api/openapi.json">openapi.json</a></p>`,
    content: html`<main id="reference">
      <noscript><p>The reference needs JavaScript.</p></noscript>
    </main>`,
  });
}
