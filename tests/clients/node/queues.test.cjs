// Other libraries that decide by scripts: Bull, rate-limiter-flexible, redlock, and what ioredis makes of one's own.
'use strict';
const assert = require('node:assert/strict');
const { after, describe, test } = require('node:test');
const Bull = require('bull');
const IORedis = require('ioredis');
const { BurstyRateLimiter, RateLimiterRedis } = require('rate-limiter-flexible');
const Redlock = require('redlock');

const port = Number(process.env.PORT);
const open = [];
const clients = [];

function connect(options = {}) {
  const client = new IORedis({ host: '127.0.0.1', port, ...options });
  clients.push(client);
  return client;
}

function bull(name, options = {}) {
  const queue = new Bull(name, { redis: { host: '127.0.0.1', port }, ...options });
  queue.on('error', (error) => console.error(error));
  open.push(queue);
  return queue;
}

const came = (emitter, event) => new Promise((resolve) => emitter.on(event, (...all) => resolve(all)));
const allowed = (promise) => promise.then(() => 1, (error) => (error instanceof Error ? Promise.reject(error) : 0));

after(async () => {
  await Promise.all(open.map((queue) => queue.close()));
  clients.forEach((client) => client.disconnect());
});

describe('libraries that decide by scripts', { concurrency: true }, () => {

test('Bull: order, delays, retries, repeated jobs, progress and cleaning', async () => {
  const queue = bull('jobs', { settings: { guardInterval: 100 } });
  const done = [];
  await queue.pause();
  for (const [name, options] of [
    ['low', { priority: 9 }], ['high', { priority: 1 }], ['plain', {}], ['last in', { lifo: true }],
  ]) await queue.add(name, {}, options);
  assert.equal((await queue.add('plain', {}, { jobId: 'same' })).id, (await queue.add('plain', {}, { jobId: 'same' })).id);
  assert.equal((await queue.getJobCounts()).paused, 5);
  queue.process('*', async (job) => {
    if (job.name === 'failing') throw new Error(`try ${job.attemptsMade}`);
    if (job.name === 'telling') {
      await job.log('a line');
      await job.progress(42);
    }
    done.push(job.name);
    return done.length;
  });
  await queue.resume();
  const delayed = await queue.add('delayed', {}, { delay: 200 });
  const telling = await queue.add('telling', {});
  const failing = await queue.add('failing', {}, { attempts: 3, backoff: { type: 'fixed', delay: 20 } });
  await queue.add('repeated', {}, { repeat: { every: 150, limit: 2 } });
  assert.ok(await delayed.finished() > 4);
  assert.ok(Date.now() - delayed.timestamp >= 200);
  await telling.finished();
  await assert.rejects(failing.finished(), /try 2/);
  assert.equal((await queue.getJob(telling.id)).progress(), 42);
  assert.deepEqual((await queue.getJobLogs(telling.id)).logs, ['a line']);
  while (done.filter((name) => name === 'repeated').length < 2) await came(queue, 'completed');
  assert.deepEqual(done.filter((name) => ['last in', 'high', 'low'].includes(name)), ['last in', 'high', 'low']);
  const [failed] = await queue.getFailed();
  assert.equal(failed.attemptsMade, 3);
  const again = came(queue, 'failed');
  await failed.retry();
  await again;
  assert.equal((await queue.getRepeatableJobs()).length, 1);
  await queue.removeRepeatable('repeated', { every: 150, limit: 2 });
  assert.equal((await queue.clean(0, 'completed')).length, 9);
  await queue.obliterate({ force: true });
  assert.deepEqual(await connect().keys('bull:jobs:*'), []);
});

test('Bull: a job whose worker died is taken over, and a rate limit holds', async () => {
  const settings = { lockDuration: 200, lockRenewTime: 100000, stalledInterval: 100 };
  const dead = bull('stalled', { settings });
  const { id } = await dead.add({});
  assert.equal((await dead.getNextJob()).id, id);
  const living = bull('stalled', { settings: { stalledInterval: 100 } });
  assert.equal(await new Promise((resolve) => living.process(async (job) => resolve(job.id))), id);
  const limited = bull('limited', { limiter: { max: 2, duration: 250 } });
  await limited.addBulk(Array.from({ length: 5 }, (_, n) => ({ data: { n } })));
  const begin = Date.now();
  await new Promise((resolve) => limited.process(async (job) => { if (job.data.n === 4) resolve(); }));
  assert.ok(Date.now() - begin >= 450, `${Date.now() - begin} ms`);
});

test('rate-limiter-flexible: points, penalties, blocks and bursts', async () => {
  const storeClient = connect();
  const limiter = new RateLimiterRedis({ storeClient, points: 3, duration: 60, keyPrefix: 'points' });
  const left = [];
  for (let n = 0; n < 3; n++) left.push((await limiter.consume('ada')).remainingPoints);
  assert.deepEqual(left, [2, 1, 0]);
  assert.equal(await allowed(limiter.consume('ada')), 0);
  assert.ok((await limiter.get('ada')).msBeforeNext > 50000);
  assert.equal((await limiter.reward('ada', 2)).consumedPoints, 2);
  assert.equal((await limiter.penalty('ada', 1)).consumedPoints, 3);
  assert.equal((await limiter.block('ada', 30)).consumedPoints, 4);
  assert.equal(await limiter.delete('ada'), true);
  const burst = new BurstyRateLimiter(limiter, new RateLimiterRedis({ storeClient, points: 2, duration: 60, keyPrefix: 'b' }));
  const got = [];
  for (let n = 0; n < 7; n++) got.push(await allowed(burst.consume('bob')));
  assert.deepEqual(got, [1, 1, 1, 1, 1, 0, 0]);
});

test('redlock: one holder, extended, over several resources and databases', async () => {
  const instances = [3, 4, 5].map((db) => connect({ db }));
  const locks = new Redlock(instances, { retryCount: 2, retryDelay: 10 });
  const lock = await locks.lock('resource', 60000);
  await assert.rejects(locks.lock('resource', 100), { name: 'LockError' });
  await (await lock.extend(50000)).unlock();
  const both = await locks.lock(['one', 'two'], 60000);
  assert.equal(await instances[2].exists('one', 'two'), 2);
  await both.unlock();
  await assert.rejects(both.unlock(), { name: 'LockError' });
  const patient = new Redlock(instances, { retryCount: 1000, retryDelay: 2, retryJitter: 2 });
  let count = 0;
  await Promise.all(Array.from({ length: 5 }, async () => {
    const held = await patient.lock('counter', 60000);
    const seen = count;
    await instances[0].ping();
    count = seen + 1;
    await held.unlock();
  }));
  assert.equal(count, 5);
});

test('ioredis: scripts of one\'s own, in pipelines and in transactions', async () => {
  const client = connect();
  client.defineCommand('addAll', {
    numberOfKeys: 1,
    lua: "local sum for _, value in ipairs(ARGV) do sum = redis.call('INCRBY', KEYS[1], value) end return sum",
  });
  client.defineCommand('keysOf', { lua: 'return KEYS' });
  assert.equal(await client.addAll('sum', 1, 2, 3), 6);
  assert.deepEqual(await client.pipeline().addAll('sum', 1).keysOf(2, 'a', 'b').exec(), [[null, 7], [null, ['a', 'b']]]);
  assert.deepEqual(await client.keysOfBuffer(1, Buffer.from([0, 255])), [Buffer.from([0, 255])]);
  await client.multi().addAll('sum', 1).exec();
  assert.deepEqual(await client.multi().addAll('sum', 1).get('sum').exec(), [[null, 9], [null, '9']]);
});

});
