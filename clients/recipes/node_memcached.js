// memcached for Node:  node node_memcached.js HOST PORT          npm: memcached
'use strict';

const { promisify } = require('util');
const Memcached = require('memcached');

const [host, port] = process.argv.slice(2);
const memcached = new Memcached(`${host}:${port}`, {
  namespace: 'node:', poolSize: 8, timeout: 2000, retries: 1, failures: 3, retry: 1000,
});

// The package calls back; each method as one that promises.
const client = Object.fromEntries(
  ['get', 'gets', 'getMulti', 'set', 'add', 'cas', 'incr', 'del']
    .map((name) => [name, promisify(memcached[name]).bind(memcached)]));

// add() of the package fails where the key is there: for us that is an answer.
async function add(key, value, ttl) {
  return client.add(key, value, ttl).catch((error) => {
    if (error.notStored) return false;
    throw error;
  });
}

// Stores change(value), made from no other value than the one it replaces.
async function update(key, change) {
  for (let tries = 1; ; tries++) {
    const item = await client.gets(key);
    const value = item[memcached.namespace + key];
    if (await client.cas(key, await change(value), item.cas, 60)) return tries;
  }
}

// What is older than freshS is computed anew by one reader; the others get the old meanwhile.
async function cached(key, freshS, staleS, compute) {
  const entry = await client.get(key);
  if (entry && Date.now() < entry.freshUntil) return entry.value;
  if (entry && !await add(`${key}:refresh`, 1, 10)) return entry.value;
  const value = await compute();
  await client.set(key, { value, freshUntil: Date.now() + freshS * 1000 }, freshS + staleS);
  await client.del(`${key}:refresh`);
  return value;
}

async function main() {
  await client.set('greeting', 'hello', 60);
  console.log('get:', await client.get('greeting'));

  await Promise.all([client.set('apple', 1, 60), client.set('banana', 2, 60)]);
  const found = await client.getMulti(['apple', 'banana', 'cherry']);
  const pairs = Object.entries(found).map(([key, value]) => `${key}=${value}`);
  console.log('multi-get:', pairs.sort().join(' '));

  await client.set('list', 'a', 60);
  const tries = await update('list', async (value) => {
    if (value === 'a') await client.set('list', 'a,b', 60); // the first time, somebody is faster
    return `${value},c`;
  });
  console.log(`cas loop: ${await client.get('list')} after ${tries} tries`);

  await client.del('visits');
  await add('visits', 0, 60);
  await client.incr('visits', 10);
  console.log('counter:', await client.incr('visits', 5));

  await client.set('short', 'lived', 1);
  while (await client.get('short')) await promisify(setTimeout)(100);
  console.log('ttl: gone');

  await cached('page', 0, 60, async () => 'old');
  let other;
  const mine = await cached('page', 60, 60, async () => {
    other = await cached('page', 60, 60, async () => 'too many'); // meanwhile another reader asks
    return 'new';
  });
  console.log(`stale: ${other} meanwhile, then ${mine}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
}).finally(() => memcached.end());
