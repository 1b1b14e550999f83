import type { InstanceKey, InstanceRow } from './instance.ts';

/** The tags by which an instance shows whose it is begin with these and a colon. Callers cannot set them. */
export const reservedTagPrefixes = ['tenant', 'provision', 'owner'] as const;

const prefix = (name: (typeof reservedTagPrefixes)[number]): string => `${name}:`;
const tenantTagPrefix = prefix('tenant');
const provisionTagPrefix = prefix('provision');
const ownerTagPrefix = prefix('owner');

/** Whose an instance has to be: the markers that it was made with. `owner`: the stage. */
export type Owned = InstanceKey & { owner: string };

/**
 * What an instance shows of its markers. `ours`: tenant, owner and element. `unmarked`: it does not name both, and no
 * other either; many answers of Cloud Elements lack the tags. `not-ours`: it names another tenant or owner, or is of
 * another element.
 */
export type Ownership = 'ours' | 'unmarked' | 'not-ours';

/** What finds a row's instances at Cloud Elements again, beside its own tags. */
export const markerTags = (row: InstanceRow, stage: string): string[] => [
  tenantTag(row),
  provisionTag(row),
  ownerTag(stage),
];

export const provisionTag = ({ provisionId }: { provisionId: string }): string =>
  `${provisionTagPrefix}${provisionId}`;

export const ownerTag = (stage: string): string => `${ownerTagPrefix}${stage}`;

const tenantTag = ({ tenantId }: { tenantId: string }): string => `${tenantTagPrefix}${tenantId}`;

/** What an instance shows, its tags among it. */
export type Shown = { elementKey: string; tags: readonly string[] };

export function ownershipOf(shown: Shown, owned: Owned): Ownership {
  if (shown.elementKey !== owned.elementKey || namesAnother(shown, owned)) return 'not-ours';
  return shown.tags.includes(tenantTag(owned)) && showsOwner(shown, owned.owner) ? 'ours' : 'unmarked';
}

/** Is there a marker of another tenant or stage? */
export function namesAnother({ tags }: Shown, { tenantId, owner }: Owned): boolean {
  return tags.some(
    (tag) =>
      (tag.startsWith(tenantTagPrefix) && tag !== tenantTag({ tenantId })) ||
      (tag.startsWith(ownerTagPrefix) && tag !== ownerTag(owner)),
  );
}

/** The tags that are not markers of this service, in any stage. */
export const withoutMarkers = (tags: readonly string[]): string[] => tags.filter((tag) => !isMarker(tag));

/** A team's own tag may begin like that of a generation, which is always a UUID. */
export const isMarker = (tag: string): boolean =>
  tag.startsWith(tenantTagPrefix) || tag.startsWith(ownerTagPrefix) || generationOf(tag) !== undefined;

/** Does it show an owner, this stage or another? */
export const namesOwner = ({ tags }: Pick<Shown, 'tags'>): boolean =>
  tags.some((tag) => tag.startsWith(ownerTagPrefix));

export const showsOwner = ({ tags }: Shown, stage: string): boolean => tags.includes(ownerTag(stage));

/** The tenant that an instance names, if it names exactly one. */
export function tenantIn({ tags }: Shown): string | undefined {
  const [shown, ...others] = tags.filter((tag) => tag.startsWith(tenantTagPrefix));
  return others.length === 0 ? shown?.slice(tenantTagPrefix.length) : undefined;
}

/** The generation that an instance names, if it names exactly one: the random UUID of a claim. */
export function generationIn({ tags }: Shown): string | undefined {
  const [generation, ...others] = tags.flatMap((tag) => generationOf(tag) ?? []);
  return others.length === 0 ? generation : undefined;
}

function generationOf(tag: string): string | undefined {
  if (!tag.startsWith(provisionTagPrefix)) return undefined;
  const id = tag.slice(provisionTagPrefix.length);
  return generationPattern.test(id) ? id : undefined;
}

/** As `crypto.randomUUID` makes it. */
const generationPattern = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
