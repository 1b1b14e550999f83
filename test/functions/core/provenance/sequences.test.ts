import { expect, test } from 'vitest';
import { sampleSize } from '../../../support/sample-size.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { createOperations } from './operations.ts';
import { addressed, createWorld } from './world.ts';

/** CI asks for all of them. */
const sequences = sampleSize(2_000, 10_000);
const length = 16;

type Played = {
  violation: string | undefined;
  /** Did an instance that was active in the end get the key from its secret, and keep its id and token? */
  end: 'none active' | 'moved' | 'not moved';
  story: string;
};

async function play(seed: number): Promise<Played> {
  const random = seededRandom(seed);
  const world = createWorld(random);
  const kind = random.fraction();
  const elementKey = kind < 0.6 ? 'taxify' : kind < 0.8 ? addressed : 'zendesk';
  const operations = createOperations(world, random, elementKey);
  let isInterrupting = false;
  world.interruptWith(async () => {
    if (isInterrupting) return;
    isInterrupting = true;
    await operations.between();
    isInterrupting = false;
  });
  if (random.chance(0.3)) await operations.claimAndWait();
  for (let step = 0; step < length && !world.violation(); step++) await operations.next();

  world.calmDown();
  let end: Played['end'] = 'none active';
  if (!world.violation()) {
    // Until everything has taken effect and every claim has ended.
    for (let round = 0; round < 3; round++) {
      await operations.wait(2 * 60 * 60_000);
      await operations.reconcile();
    }
    const row = world.find(operations.key);
    const before = world.instances.find(({ id }) => id === row?.instanceId);
    if (row?.status === 'active' && before) {
      await operations.putSecret({ [operations.first]: 'stored:last' });
      await operations.trust();
      await operations.rotate();
      const after = world.find(operations.key);
      const isMoved =
        after?.instanceId === before.id &&
        new TextDecoder().decode(after.token) === before.token &&
        before.isAlive &&
        before.configuration[operations.first] === 'stored:last';
      end = isMoved ? 'moved' : 'not moved';
    }
  }
  return { violation: world.violation(), end, story: world.story.join('\n') };
}

test('a stored key never meets a caller’s address, and an operator can always move a tenant to its secret', async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= sequences; seed++) {
    const { violation, end, story } = await play(seed);
    // The log of a sequence that breaks a promise.
    const broken =
      violation !== undefined || end === 'not moved' ? { seed, violation, end, story } : undefined;
    expect(broken).toBeUndefined();
    const kinds = occasions.filter(([, pattern]) => pattern.test(story)).map(([name]) => name);
    for (const kind of [end, ...kinds]) seen.set(kind, (seen.get(kind) ?? 0) + 1);
  }
  // The situations that are hardest for the promises do occur.
  for (const kind of ['moved', ...occasions.map(([name]) => name)]) {
    expect({ kind, often: (seen.get(kind) ?? 0) > sequences / 100 }).toEqual({ kind, often: true });
  }
}, 60_000);

const occasions: readonly [string, RegExp][] = [
  ['an update takes effect late', /late: change/],
  ['a create takes effect late', /late: create/],
  ['a create takes effect later than is assumed', /late: overdue create/],
  ['the secret is sent', /PATCHes {"configuration":{}}: updated/],
  ['the secret is refused to what a request has configured', /configuration-from-request/],
  ['the secret is refused to what an earlier version has made', /configuration-unknown/],
  ['an operator vouches for an instance', /operator trusts: trusted/],
  ['an operator has to wait for an update of unknown outcome', /operator trusts: a request's update/],
  ['an instance is imported', /operator imports: created/],
  ['the secret is refused to an imported instance', /operator imports: created[\s\S]*configuration-unknown/],
  ['a function dies', /dies/],
  ['the list of addresses changes', /the list of sites/],
  ['the secret is sent beside an address', /merges.*site[\s\S]*PATCHes {"configuration":{}}: updated/],
  ['the secret is refused for an address', /list of sites[\s\S]*configuration-from-request/],
];
