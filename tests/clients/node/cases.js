// The npm package memcached:  node cases.js HOST PORT RESTART
//
// NODE_PATH names the folder the package is installed in; its version stands in package.json.
'use strict';

const assert = require('assert');
const childProcess = require('child_process');
const util = require('util');
const Memcached = require('memcached');

const [host, port, restart] = process.argv.slice(2);
const server = `${host}:${port}`;
const client = new Memcached(server, {
  poolSize: 4, timeout: 5000, retries: 2, retry: 100, reconnect: 200,
});

// The package calls back with (error, result); each method as a function of its own.
const methods = {};
for (const name of ['get', 'gets', 'getMulti', 'set', 'add', 'replace', 'append', 'prepend', 'cas',
  'incr', 'decr', 'del', 'touch', 'flush', 'version', 'stats', 'settings', 'slabs', 'items']) {
  methods[name] = util.promisify(client[name]).bind(client);
}
const { get, gets, getMulti, set, add, replace, append, prepend, cas } = methods;
const { incr, decr, del, touch } = methods;

const pause = util.promisify(setTimeout);

async function until(condition, seconds) {
  const end = Date.now() + seconds * 1000;
  let last = 'false';
  while (Date.now() < end) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await pause(100);
  }
  throw new Error(`not true within ${seconds} s: ${last}`);
}

async function refused(promise, pattern) {
  let result;
  try {
    result = await promise;
  } catch (error) {
    assert.match(String(error.message || error), pattern);
    return;
  }
  assert.fail(`not refused, but ${util.inspect(result)}`);
}

const cases = {
  async 'the version is told'() {
    const [answer] = await methods.version();
    assert.match(answer.version, /^\d+\.\d+\.\d+/);
    assert.strictEqual(answer.server, server);
  },
  async 'values of all kinds come back'() {
    for (const value of ['text', 'with \r\nEND\r\n inside', '\u00e4\u20ac\u{1f600}', 17, -1, 1.5,
      true, false, { a: { b: [1, 2, 'three'] } }, [1, 'two', null]]) {
      assert.strictEqual(await set('kind', value, 0), true);
      assert.deepStrictEqual(await get('kind'), value);
    }
  },
  async 'a missing one is undefined'() {
    assert.strictEqual(await get('missing'), undefined);
  },
  async 'every byte comes back'() {
    const data = Buffer.alloc(256 * 41);
    for (let i = 0; i < data.length; i++) data[i] = i % 256;
    assert.strictEqual(await set('bytes', data, 0), true);
    assert.ok(data.equals(await get('bytes')));
  },
  async 'a large value'() {
    const large = '0123456789abcdef'.repeat(60000);
    assert.strictEqual(await set('large', large, 0), true);
    assert.strictEqual(await get('large'), large);
  },
  async 'the longest key'() {
    const key = 'k'.repeat(250);
    assert.strictEqual(await set(key, 'v', 0), true);
    assert.strictEqual(await get(key), 'v');
  },
  async 'many at once'() {
    const keys = [];
    for (let i = 0; i < 500; i++) keys.push(`many${i}`);
    await Promise.all(keys.map((key, i) => set(key, `value ${i}`, 0)));
    const found = await getMulti(keys.concat(['nothing']));
    assert.strictEqual(Object.keys(found).length, 500);
    keys.forEach((key, i) => assert.strictEqual(found[key], `value ${i}`));
    assert.deepStrictEqual(await getMulti(['many1', 'nothing', 'many2']),
      { many1: 'value 1', many2: 'value 2' });
    await Promise.all(keys.map((key) => del(key)));
    assert.strictEqual(await get('many1'), undefined);
  },
  async 'many requests at once'() {
    await set('counter', 0, 0);
    const sums = await Promise.all(Array.from({ length: 1000 }, () => incr('counter', 1)));
    assert.strictEqual(new Set(sums).size, 1000);
    assert.strictEqual(await get('counter'), 1000);
  },
  async 'add and replace'() {
    await del('added');
    await refused(replace('added', '0', 0), /not stored/i);
    assert.strictEqual(await add('added', '1', 0), true);
    await refused(add('added', '2', 0), /not stored/i);
    assert.strictEqual(await replace('added', '3', 0), true);
    assert.strictEqual(await get('added'), '3');
  },
  async 'append and prepend'() {
    await del('both');
    await refused(append('both', 'c'), /not stored/i);
    await refused(prepend('both', 'c'), /not stored/i);
    assert.strictEqual(await set('both', 'b', 0), true);
    assert.strictEqual(await append('both', 'c'), true);
    assert.strictEqual(await prepend('both', 'a'), true);
    assert.strictEqual(await get('both'), 'abc');
  },
  async 'cas stores once'() {
    assert.strictEqual(await set('once', '1', 0), true);
    const item = await gets('once');
    assert.strictEqual(item.once, '1');
    assert.match(item.cas, /^[1-9]\d*$/);
    assert.strictEqual(await cas('once', '2', item.cas, 0), true);
    assert.strictEqual(await cas('once', '3', item.cas, 0), false);
    assert.strictEqual(await get('once'), '2');
    assert.notStrictEqual((await gets('once')).cas, item.cas);
  },
  async 'numbers count'() {
    assert.strictEqual(await set('number', 10, 0), true);
    assert.strictEqual(await incr('number', 5), 15);
    assert.strictEqual(await decr('number', 14), 1);
    assert.strictEqual(await decr('number', 2), 0);
    assert.strictEqual(await incr('nothing', 1), false);
    assert.strictEqual(await set('number', 'none', 0), true);
    await refused(incr('number', 1), /non-numeric/);
  },
  async 'delete and touch'() {
    assert.strictEqual(await set('short', '1', 0), true);
    assert.strictEqual(await touch('short', 100), true);
    assert.strictEqual(await touch('nothing', 100), false);
    assert.strictEqual(await del('short'), true);
    assert.strictEqual(await del('short'), false);
  },
  async 'items expire'() {
    assert.strictEqual(await set('one', '1', 1), true);
    assert.strictEqual(await set('touched', '1', 0), true);
    assert.strictEqual(await touch('touched', 1), true);
    assert.strictEqual(await set('kept', '1', 100), true);
    await pause(2100);
    assert.deepStrictEqual(await getMulti(['one', 'touched', 'kept']), { kept: '1' });
  },
  async 'figures are told'() {
    const [stats] = await methods.stats();
    for (const name of ['pid', 'curr_items', 'cmd_get', 'get_hits', 'threads', 'limit_maxbytes']) {
      assert.ok(name in stats, name);
    }
    assert.ok(stats.get_hits > 0);
    const [settings] = await methods.settings();
    assert.strictEqual(settings.maxconns, 1024);
  },
  async 'items and slabs are told'() {
    const [items] = await methods.items();
    const classes = Object.keys(items).filter((name) => /^\d+$/.test(name));
    assert.ok(classes.length > 0);
    for (const each of classes) assert.ok(items[each].number > 0);
    const [slabs] = await methods.slabs();
    for (const each of classes) assert.ok(slabs[each].used_chunks > 0);
    // The package splits names at a colon, and these have none.
    assert.ok(slabs.active_slabs.undefined > 0);
  },
  async 'flush takes all'() {
    assert.strictEqual(await set('flushed', '1', 0), true);
    assert.deepStrictEqual(await methods.flush(), [true]);
    assert.strictEqual(await get('flushed'), undefined);
    assert.strictEqual(await set('flushed', '2', 0), true);
    assert.strictEqual(await get('flushed'), '2');
  },
  async 'a restart is survived'() {
    assert.strictEqual(await set('before', '1', 0), true);
    const [program, ...words] = restart.split(' ');
    await util.promisify(childProcess.execFile)(program, words, { timeout: 60000 });
    await until(() => set('after', '2', 0), 30);
    assert.strictEqual(await get('after'), '2');
    assert.strictEqual(await get('before'), undefined);
  },
};
const again = ['values of all kinds come back', 'many at once'];

async function main() {
  let passed = 0;
  let failed = 0;
  for (const name of Object.keys(cases).concat(again)) {
    try {
      await cases[name]();
      passed++;
      console.log('ok', name);
    } catch (error) {
      failed++;
      console.log('FAILED', name, error);
    }
  }
  client.end();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

main();
