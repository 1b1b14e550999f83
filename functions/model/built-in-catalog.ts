import { builtInElements } from './built-in-elements.ts';
import { catalogOf, type Catalog } from './catalog.ts';
import type { Elements } from './elements.ts';

/**
 * The elements that come with this service, and the deployer's. A field that the deployer gives for an element replaces
 * that field; the others stay.
 */
export function catalogWith(elements: Elements): Catalog {
  const changed = Object.entries(elements).map(([key, element]) => [
    key,
    { ...(Object.hasOwn(builtInElements, key) && builtInElements[key]), ...element },
  ]);
  return catalogOf({ ...builtInElements, ...Object.fromEntries(changed) });
}

export const builtInCatalog: Catalog = /* @__PURE__ */ catalogWith({});
