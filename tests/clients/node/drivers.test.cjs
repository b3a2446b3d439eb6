// ioredis and node-redis, doing what their users do.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, before, describe, test } = require('node:test');
const Redis = require('ioredis');
const { ErrorReply, WatchError, createClient, defineScript } = require('redis');

const port = Number(process.env.PORT);
const ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

describe('ioredis', () => {
  const clients = [];
  const connect = (options = {}) => {
    clients.push(new Redis({ port, ...options }));
    return clients.at(-1);
  };
  let redis;

  before(() => { redis = connect({ keyPrefix: 'io:', connectionName: 'me' }); });
  after(() => clients.forEach((client) => client.disconnect()));

  test('everyday calls', async () => {
    assert.equal(await redis.set('a', '1', 'EX', 100), 'OK');
    assert.equal(await redis.incr('a'), 2);
    assert.ok((await redis.ttl('a')) > 90);
    assert.equal(await redis.hset('h', { f: 1, g: 'x' }), 2);
    assert.deepEqual(await redis.hgetall('h'), { f: '1', g: 'x' });
    assert.equal(await redis.zadd('z', 1.5, 'm', 2, 'n'), 2);
    assert.deepEqual((await redis.zrange('z', 0, -1)), ['m', 'n']);
    assert.ok((await redis.getBuffer('a')).equals(Buffer.from('2')));
    await assert.rejects(redis.lpush('a', 1), /^ReplyError: WRONGTYPE/);
    assert.equal(await redis.client('GETNAME'), 'me');
  });

  test('pipelines and transactions', async () => {
    const pipeline = redis.pipeline();
    for (let n = 0; n < 1000; n++) pipeline.incr('n');
    const replies = await pipeline.exec();
    assert.deepEqual(replies.map(([error, value]) => [error, value]).at(-1), [null, 1000]);
    const [[, set], [failed], [, got]] = await redis.multi().set('t', 'x').incr('t').get('t').exec();
    assert.deepEqual([set, got], ['OK', 'x']);
    assert.match(failed.message, /^ERR value is not an integer/);
    const other = connect({ keyPrefix: 'io:' });
    await other.watch('n');
    await redis.incr('n');
    assert.equal(await other.multi().set('n', 0).exec(), null);
  });

  test('messages to channels and patterns, while other clients go on', async () => {
    const subscriber = connect();
    const seen = [];
    const all = new Promise((resolve) => {
      const note = (...message) => seen.push(message) === 4 && resolve();
      subscriber.on('message', note);
      subscriber.on('pmessage', note);
    });
    assert.equal(await subscriber.subscribe('news'), 1);
    assert.equal(await subscriber.psubscribe('n?ws'), 2);
    for (const text of ['one', 'two']) assert.equal(await redis.publish('news', text), 2);
    await all;
    assert.deepEqual(seen, [
      ['news', 'one'], ['n?ws', 'news', 'one'], ['news', 'two'], ['n?ws', 'news', 'two'],
    ]);
  });

  test('waiting for lists, sorted sets and streams', async () => {
    const [list, zset, stream] = [connect(), connect(), connect()];
    const waits = [
      list.blpop('io:q1', 'io:q2', 10), zset.bzpopmin('io:wait', 10), stream.xread('BLOCK', 10000, 'STREAMS', 'io:s', '$'),
    ];
    const blocked = async () => Number(/blocked_clients:(\d+)/.exec(await redis.info('clients'))[1]);
    while ((await blocked()) < 3);
    await redis.rpush('q2', 'job');
    await redis.zadd('wait', 1, 'm');
    const id = await redis.xadd('s', '*', 'f', 'v');
    const [popped, lowest, read] = await Promise.all(waits);
    assert.deepEqual(popped, ['io:q2', 'job']);
    assert.deepEqual(lowest.map(String), ['io:wait', 'm', '1']);
    const [[key, entries]] = Array.isArray(read) ? read : Object.entries(read);
    assert.deepEqual([key, entries], ['io:s', [[id, ['f', 'v']]]]);
    assert.equal(await list.blpop('io:none', 0.05), null);
  });

  test('scripts are sent once, and again when they are gone', async () => {
    redis.defineCommand('add', { numberOfKeys: 1, lua: ADD });
    assert.equal(await redis.add('scripted', 5), 5);
    await redis.script('FLUSH');
    assert.equal(await redis.add('scripted', 5), 10);
    await redis.script('FLUSH');
    const replies = await redis.pipeline().add('scripted', 1).add('scripted', 1).exec();
    assert.deepEqual(replies, [[null, 11], [null, 12]]);
  });

  test('scanning, and a connection that was cut', async () => {
    const many = connect({ db: 3 });
    await many.mset(Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`k${n}`, n])));
    const found = new Set();
    for await (const keys of many.scanStream({ match: 'k*', count: 50 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 500);
    const id = await many.client('ID');
    const again = once(many, 'ready');
    await redis.client('KILL', 'ID', id);
    await again;
    assert.equal(await many.get('k7'), '7');
  });
});

describe('node-redis', () => {
  const clients = [];
  const connect = async (options = {}) => {
    const client = createClient({ socket: { host: '127.0.0.1', port }, ...options });
    client.on('error', () => {});
    clients.push(client);
    return await client.connect();
  };
  const scripts = {
    add: defineScript({
      SCRIPT: ADD,
      NUMBER_OF_KEYS: 1,
      parseCommand(parser, key, by) { parser.pushKey(key); parser.push(String(by)); },
      transformReply: (reply) => reply,
    }),
  };

  after(() => Promise.all(clients.map((client) => client.destroy())));

  for (const RESP of [2, 3]) {
    test(`everyday calls, pipelines, transactions and scripts in RESP${RESP}`, async () => {
      const client = await connect({ RESP, scripts });
      await client.flushDb();
      assert.equal(await client.set('a', '1', { expiration: { type: 'EX', value: 100 } }), 'OK');
      assert.equal(await client.incr('a'), 2);
      assert.equal(await client.hSet('h', { f: 1, g: 'x' }), 2);
      assert.deepEqual({ ...(await client.hGetAll('h')) }, { f: '1', g: 'x' });
      assert.equal(await client.zAdd('z', [{ score: 1.5, value: 'm' }, { score: 2, value: 'n' }]), 2);
      assert.deepEqual(await client.zRangeWithScores('z', 0, -1), [{ value: 'm', score: 1.5 }, { value: 'n', score: 2 }]);
      await assert.rejects(client.lPush('a', '1'), (error) => error instanceof ErrorReply && /^WRONGTYPE/.test(error.message));

      const replies = await Promise.all(Array.from({ length: 1000 }, () => client.incr('n')));
      assert.equal(replies.at(-1), 1000);
      assert.deepEqual(await client.multi().set('t', 'x').get('t').exec(), ['OK', 'x']);
      const other = await connect({ RESP });
      await other.watch('n');
      await client.incr('n');
      await assert.rejects(other.multi().set('n', '0').exec(), WatchError);

      assert.equal(await client.add('scripted', 5), 5);
      await client.scriptFlush();
      assert.equal(await client.add('scripted', 5), 10);
      await client.functionFlush();
      assert.equal(await client.functionLoad("#!lua name=l\nredis.register_function('f', function(k, a) return a[1] end)"), 'l');
      assert.equal(await client.fCall('f', { keys: [], arguments: ['x'] }), 'x');
    });

    test(`messages, waiting and streams in RESP${RESP}`, async () => {
      const client = await connect({ RESP });
      await client.flushDb();
      const [subscriber, waiter] = [await connect({ RESP }), await connect({ RESP })];
      const message = new Promise((resolve) => subscriber.pSubscribe('n*', (text, channel) => resolve([channel, text])));
      await subscriber.subscribe('other', () => {});
      assert.equal(await client.publish('news', 'hello'), 1);
      assert.deepEqual(await message, ['news', 'hello']);
      await subscriber.pUnsubscribe();
      await subscriber.unsubscribe();
      assert.equal(String(await subscriber.ping()), 'PONG');

      const waiting = waiter.blPop(['q1', 'q2'], 10);
      while (!/blocked_clients:1/.test(await client.info('clients')));
      await client.rPush('q2', 'job');
      assert.deepEqual({ ...(await waiting) }, { key: 'q2', element: 'job' });

      await client.xGroupCreate('s', 'g', '$', { MKSTREAM: true });
      const id = await client.xAdd('s', '*', { f: 'v' });
      const read = await client.xReadGroup('g', 'c', { key: 's', id: '>' }, { COUNT: 1, BLOCK: 1000 });
      const entries = Array.isArray(read) ? read[0].messages : Object.values(read)[0];
      assert.equal((entries[0].id ?? entries[0][0]), id);
      assert.equal(await client.xAck('s', 'g', id), 1);
    });
  }

  test('iterating over keys', async () => {
    const client = await connect({ database: 4 });
    await client.mSet(Array.from({ length: 500 }, (_, n) => [`k${n}`, String(n)]));
    const found = new Set();
    for await (const keys of client.scanIterator({ MATCH: 'k*', COUNT: 50 })) keys.forEach((key) => found.add(key));
    assert.equal(found.size, 500);
  });

  test('a cache of its own that the server keeps fresh', async () => {
    const client = await connect({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: 'LRU' } });
    const other = await connect({});
    await other.set('cached', 'old');
    for (let n = 0; n < 5; n++) assert.equal(await client.get('cached'), 'old');
    await other.set('cached', 'new');
    // What is cached is answered without a look at the socket.
    while ((await client.get('cached')) !== 'new') await new Promise(setImmediate);
  });
});
