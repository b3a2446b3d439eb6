// BullMQ: queues whose every step is a script, with workers in this process. DRIVER says which client it is to use.
'use strict';
const assert = require('node:assert/strict');
const { after, describe, test } = require('node:test');
const { once } = require('node:events');
const { FlowProducer, Queue, QueueEvents, Relay, WaitingChildrenError, Worker, UnrecoverableError } = require('bullmq');
const IORedis = require('ioredis');
const { createClient } = require('redis');

const port = Number(process.env.PORT);
const open = [];
const connections = [];
let number = 0;

async function connect() {
  if (process.env.DRIVER === 'ioredis') return { host: '127.0.0.1', port };
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  connections.push(client);
  return await client.connect();
}

function keep(thing) {
  thing.on('error', (error) => console.error(error));
  open.unshift(thing);
  return thing;
}

async function makeQueue(options = {}) {
  return keep(new Queue(`q${++number}`, { connection: await connect(), ...options }));
}

async function makeEvents(queue) {
  const events = keep(new QueueEvents(queue.name, { connection: await connect() }));
  await events.waitUntilReady();
  return events;
}

async function work(queue, processor, options = {}) {
  return keep(new Worker(queue.name, processor, { connection: await connect(), ...options }));
}

// Resolves when a worker has ended that many jobs of a queue.
function ended(worker, count, event = 'completed') {
  return new Promise((resolve) => {
    let seen = 0;
    worker.on(event, () => ++seen === count && resolve());
  });
}

after(async () => {
  await Promise.all(open.map((thing) => thing.close()));
  await Promise.all(connections.map((client) => client.isOpen && client.close()));
});

// Each test has queues of its own, and most of them wait: they run at the same time.
describe('BullMQ', { concurrency: true }, () => {

test('jobs give results, progress and events', async () => {
  const queue = await makeQueue();
  const events = await makeEvents(queue);
  const progress = once(events, 'progress');
  const waiting = await queue.add('first', { n: 20 });
  await queue.addBulk(Array.from({ length: 30 }, (_, n) => ({ name: 'bulk', data: { n } })));
  assert.deepEqual(await queue.getJobCounts('wait', 'completed'), { wait: 31, completed: 0 });
  const worker = await work(queue, async (job) => {
    await job.updateProgress(50);
    await job.log('half of it');
    return job.data.n + 1;
  }, { concurrency: 5, autorun: false });
  const all = ended(worker, 31);
  worker.run();
  assert.equal(await waiting.waitUntilFinished(events, 10000), 21);
  assert.equal((await progress)[0].data, 50);
  await all;
  assert.deepEqual(await queue.getJobCounts('wait', 'active', 'completed'), { wait: 0, active: 0, completed: 31 });
  const results = (await queue.getJobs(['completed'])).map((job) => job.returnvalue);
  assert.deepEqual(results.sort((a, b) => a - b), [...Array.from({ length: 30 }, (_, n) => n + 1), 21].sort((a, b) => a - b));
  assert.deepEqual((await queue.getJobLogs(waiting.id)).logs, ['half of it']);
  assert.equal(await waiting.getState(), 'completed');
});

test('the order is that of arrival, of priorities, and the last first where it is asked for', async () => {
  const queue = await makeQueue();
  for (const [name, options] of [
    ['low', { priority: 10 }], ['high', { priority: 1 }], ['first', {}], ['middle', { priority: 5 }],
    ['second', {}], ['also high', { priority: 1 }], ['last in', { lifo: true }],
  ]) await queue.add(name, {}, options);
  const order = [];
  const worker = await work(queue, async (job) => { order.push(job.name); });
  await ended(worker, 7);
  assert.deepEqual(order, ['last in', 'first', 'second', 'high', 'also high', 'middle', 'low']);
});

test('delayed jobs come when they are due', async () => {
  const queue = await makeQueue();
  const late = {};
  const worker = await work(queue, async (job) => { late[job.name] = Date.now() - job.timestamp; });
  const all = ended(worker, 3);
  await queue.add('later', {}, { delay: 400 });
  await queue.add('sooner', {}, { delay: 200 });
  const changed = await queue.add('changed', {}, { delay: 60000 });
  const never = await queue.add('never', {}, { delay: 10000 });
  assert.equal(await changed.isDelayed(), true);
  await changed.changeDelay(100);
  await never.remove();
  await all;
  assert.ok(late.later >= 400 && late.sooner >= 200 && late.changed >= 100, JSON.stringify(late));
  assert.equal(Object.keys(late).length, 3);
});

test('what fails is tried again after a while, and then kept among the failed', async () => {
  const queue = await makeQueue();
  const times = [];
  const options = { attempts: 3, backoff: { type: 'exponential', delay: 50 } };
  const worker = await work(queue, async (job) => {
    if (job.name === 'broken') throw new UnrecoverableError('for good');
    times.push(Date.now());
    if (job.name === 'lost' || job.attemptsMade < 2) throw new Error('not yet');
    return 'at last';
  });
  const completed = ended(worker, 1);
  const cured = await queue.add('cured', {}, options);
  await completed;
  assert.ok(times[1] - times[0] >= 49 && times[2] - times[1] >= 99, JSON.stringify(times));
  assert.equal((await queue.getJob(cured.id)).returnvalue, 'at last');

  const failed = ended(worker, 4, 'failed');
  const lost = await queue.add('lost', {}, { ...options, backoff: 10 });
  const broken = await queue.add('broken', {}, options);
  await failed;
  assert.deepEqual(await queue.getJobCounts('failed', 'completed'), { failed: 2, completed: 1 });
  const kept = await queue.getJob(lost.id);
  assert.equal(kept.failedReason, 'not yet');
  assert.equal(kept.attemptsMade, 3);
  assert.equal((await queue.getJob(broken.id)).attemptsMade, 1);
  const again = ended(worker, 1, 'failed');
  await kept.retry('failed');
  await again;
});

test('a flow runs its children first, and fails with them', async () => {
  const queue = await makeQueue();
  const events = await makeEvents(queue);
  const flow = keep(new FlowProducer({ connection: await connect() }));
  await work(queue, async (job) => {
    if (job.name === 'child') return job.data.n;
    if (job.name === 'failing') throw new Error('no');
    return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
  }, { concurrency: 3 });
  const queueName = queue.name;
  const children = (count) => Array.from({ length: count }, (_, n) => ({ name: 'child', queueName, data: { n } }));
  const tree = await flow.add({
    name: 'parent', queueName,
    children: [...children(5), { name: 'inner', queueName, children: children(4) }],
  });
  assert.equal(await tree.job.waitUntilFinished(events, 10000), 16);
  const doomed = await flow.add({
    name: 'parent', queueName,
    children: [{ name: 'failing', queueName, opts: { failParentOnFailure: true } }, ...children(2)],
  });
  await assert.rejects(doomed.job.waitUntilFinished(events, 10000), /child .* failed/);
});

test('a rate limit holds', async () => {
  const queue = await makeQueue();
  const times = [];
  const worker = await work(queue, async () => { times.push(Date.now()); }, { limiter: { max: 2, duration: 200 } });
  const all = ended(worker, 6);
  const begin = Date.now();
  await queue.addBulk(Array.from({ length: 6 }, () => ({ name: 'limited', data: {} })));
  await all;
  assert.ok(times[2] - begin >= 195 && times[4] - begin >= 390, JSON.stringify([begin, times]));
});

test('a scheduler makes jobs again and again', async () => {
  const queue = await makeQueue();
  const seen = [];
  const worker = await work(queue, async (job) => { seen.push(job.data.n); });
  const all = ended(worker, 3);
  await queue.upsertJobScheduler('often', { every: 100, limit: 3 }, { name: 'tick', data: { n: 7 } });
  await queue.upsertJobScheduler('yearly', { pattern: '0 0 1 1 *', tz: 'UTC' }, { name: 'tock' });
  assert.equal(await queue.getJobSchedulersCount(), 2);
  const next = new Date((await queue.getJobScheduler('yearly')).next);
  assert.deepEqual([next.getUTCMonth(), next.getUTCDate(), next.getUTCHours()], [0, 1, 0]);
  await all;
  assert.deepEqual(seen, [7, 7, 7]);
  assert.equal(await queue.removeJobScheduler('yearly'), true);
  assert.equal((await queue.getDelayed()).length, 0);
});

test('a job that nobody finishes is given to another worker', async () => {
  const queue = await makeQueue();
  const dead = await work(queue, null, { lockDuration: 100, autorun: false, skipStalledCheck: true, skipLockRenewal: true });
  const job = await queue.add('stalled', {});
  assert.equal((await dead.getNextJob('token')).id, job.id);
  assert.equal(await job.getState(), 'active');
  const living = await work(queue, async () => 'done', { stalledInterval: 100, drainDelay: 1 });
  const stalled = once(living, 'stalled');
  await ended(living, 1);
  assert.equal((await stalled)[0], job.id);
  assert.equal((await queue.getJob(job.id)).returnvalue, 'done');
});

test('pausing, equal jobs, what is kept, cleaning and removing', async () => {
  const queue = await makeQueue({ defaultJobOptions: { removeOnComplete: 3 } });
  await queue.pause();
  const options = { deduplication: { id: 'same' } };
  const one = await queue.add('once', {}, options);
  const two = await queue.add('once', {}, options);
  assert.equal(one.id, two.id);
  const worker = await work(queue, async () => {});
  await queue.addBulk(Array.from({ length: 9 }, () => ({ name: 'bulk', data: {} })));
  assert.equal(await queue.isPaused(), true);
  assert.equal(await queue.count(), 10);
  const all = ended(worker, 10);
  await queue.resume();
  await all;
  assert.equal(await queue.getCompletedCount(), 3);
  assert.equal((await queue.clean(0, 100, 'completed')).length, 3);
  await worker.close();
  await queue.addBulk(Array.from({ length: 20 }, () => ({ name: 'bulk', data: {} })));
  await queue.drain();
  assert.equal(await queue.count(), 0);
  await queue.obliterate({ force: true });
  const client = new IORedis(port);
  assert.deepEqual(await client.keys(`bull:${queue.name}:*`), []);
  client.disconnect();
});

test('jobs change while they wait', async () => {
  const queue = await makeQueue();
  const names = async (...types) => (await queue.getJobs(types, 0, -1, true)).map((job) => job.name);
  const last = await queue.add('last', { n: 1 }, { priority: 9 });
  await queue.add('middle', {}, { priority: 5 });
  const hurried = await queue.add('hurried', {}, { delay: 60000 });
  for (const name of ['late', 'later']) await queue.add(name, {}, { delay: 60000 });
  assert.deepEqual(await queue.getCountsPerPriority([0, 5, 9]), { 0: 0, 5: 1, 9: 1 });
  await last.changePriority({ priority: 1 });
  await last.updateData({ n: 2 });
  await hurried.promote();
  assert.equal(await hurried.getState(), 'waiting');
  await queue.promoteJobs({ count: 1 });
  assert.deepEqual(await queue.getJobCounts('wait', 'prioritized', 'delayed'), { wait: 3, prioritized: 2, delayed: 0 });
  await queue.setGlobalConcurrency(1);
  assert.equal(await queue.isMaxed(), false);
  const seen = [];
  const worker = await work(queue, async (job) => {
    seen.push([job.name, job.data.n]);
    if (job.name === 'hurried') {
      assert.equal(await queue.isMaxed(), true);
      assert.equal(await job.isActive(), true);
      assert.equal(await job.extendLock(job.token, 60000), 1);
      assert.deepEqual(await names('active', 'wait'), ['hurried', 'late', 'later']);
    }
    if (job.name === 'middle') throw new UnrecoverableError('no');
  }, { concurrency: 4, metrics: { maxDataPoints: 10 } });
  await Promise.all([ended(worker, 4), ended(worker, 1, 'failed')]);
  assert.deepEqual(seen.map(([name]) => name), ['hurried', 'late', 'later', 'last', 'middle']);
  assert.equal(seen[3][1], 2);
  assert.equal((await queue.getMetrics('completed')).meta.count, 4);
  const again = ended(worker, 1, 'failed');
  await queue.retryJobs({ count: 10, state: 'failed' });
  await again;
  assert.match((await queue.getFailed())[0].stacktrace[0], /no/);
});

test('a worker keeps its locks, puts jobs back, and is told to wait', async () => {
  const queue = await makeQueue();
  const tries = [];
  const worker = await work(queue, async (job) => {
    tries.push(job.name);
    if (job.name === 'limited' && tries.length === 1) {
      await worker.rateLimit(150);
      throw Worker.RateLimitError();
    }
    if (job.name === 'at once' && job.attemptsMade < 2) throw new Error('again');
    if (job.name === 'slow') await new Promise((done) => setTimeout(done, 700));
  }, { limiter: { max: 100, duration: 1000 }, lockDuration: 400, lockRenewTime: 100, stalledInterval: 200 });
  let stalled = 0;
  worker.on('stalled', () => ++stalled);
  const limited = ended(worker, 1);
  await queue.add('limited', {});
  await once(worker, 'active');
  await limited;
  assert.deepEqual(tries, ['limited', 'limited']);
  const all = ended(worker, 2);
  await queue.add('at once', {}, { attempts: 3 });
  await queue.add('slow', {});
  await all;
  assert.deepEqual(tries.slice(2).sort(), ['at once', 'at once', 'at once', 'slow']);
  assert.equal(stalled, 0);
  assert.ok(await queue.getRateLimitTtl() <= 1000);
});

test('a parent waits for children that it adds by itself, and lets go of some', async () => {
  const queue = await makeQueue();
  const children = await makeQueue();
  const flow = keep(new FlowProducer({ connection: await connect() }));
  const worker = await work(queue, async (job, token) => {
    if (!job.data.added) {
      const parent = { id: job.id, queue: job.queueQualifiedName };
      for (const name of ['done', 'also done']) await children.add(name, {}, { parent });
      await job.updateData({ added: true });
      if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
    }
    return Object.values(await job.getChildrenValues()).sort();
  });
  const all = ended(worker, 1);
  const parent = await queue.add('parent', {});
  while (await parent.getState() !== 'waiting-children') await new Promise((turn) => setImmediate(turn));
  assert.deepEqual(await parent.getDependenciesCount({ unprocessed: true }), { unprocessed: 2 });
  await work(children, async (job) => job.name);
  await all;
  assert.deepEqual((await queue.getJob(parent.id)).returnvalue, ['also done', 'done']);

  const paused = await makeQueue();
  await paused.pause();
  const tree = await flow.add({
    name: 'top', queueName: queue.name, data: { added: true },
    children: ['one', 'two', 'three'].map((name) => ({ name, queueName: paused.name })),
  });
  assert.deepEqual((await flow.getFlow({ id: tree.job.id, queueName: queue.name })).children.length, 3);
  const some = await tree.job.getDependencies({ unprocessed: { count: 20, cursor: 0 } });
  assert.equal(some.unprocessed.length, 3);
  assert.equal(await tree.children[0].job.removeChildDependency(), true);
  const freed = ended(worker, 1);
  await tree.job.removeUnprocessedChildren();
  assert.equal(await paused.count(), 1, 'the one that has no parent any more');
  await freed;
});

test('what deduplicates is forgotten on demand, and what is orphaned removed', async () => {
  const queue = await makeQueue();
  await queue.pause();
  const options = { deduplication: { id: 'same', ttl: 60000 } };
  const one = await queue.add('once', {}, options);
  assert.equal((await queue.add('once', {}, options)).id, one.id);
  assert.equal(await queue.getDeduplicationJobId('same'), one.id);
  assert.equal(await one.removeDeduplicationKey(), true);
  const other = await queue.add('once', {}, options);
  assert.notEqual(other.id, one.id);
  const client = new IORedis(port);
  await client.lrem(`bull:${queue.name}:wait`, 0, one.id);
  await client.lrem(`bull:${queue.name}:paused`, 0, one.id);
  assert.equal(await queue.removeOrphanedJobs(), 1);
  assert.equal(await queue.getJob(one.id), undefined);
  assert.ok(await queue.getJob(other.id));
  client.disconnect();
});

test('a relay hands messages to all nodes, and what is retained to those who come later', async () => {
  const node = async () => keep(new Relay({ connection: await connect(), namespace: `fleet-${process.env.DRIVER}`, blockTimeout: 200 }));
  const [one, two] = [await node(), await node()];
  const got = [];
  let enough;
  const all = new Promise((resolve) => { enough = resolve; });
  const listen = (who) => (message) => got.push([who, message.topic, message.data, message.retained]) === 5 && enough();
  await one.subscribe('jobs.*.done', listen('one'));
  const all_jobs = await two.subscribe('jobs.>', listen('two'));
  await one.publish('jobs.a.done', 1);
  await two.publish('jobs.a.failed', { why: 2 }, { retain: 60000 });
  await two.publish('other.a', 3);
  const late = await node();
  await late.subscribe('jobs.a.failed', listen('late'));
  await late.publish('jobs.b.done', 4);
  await all;
  await all_jobs.unsubscribe();
  assert.deepEqual(got.map((each) => each.join(' ')).sort().slice(0, 5), [
    'late jobs.a.failed [object Object] true', 'one jobs.a.done 1 false', 'one jobs.b.done 4 false',
    'two jobs.a.done 1 false', 'two jobs.a.failed [object Object] false',
  ]);
  const counts = await one.getCounts();
  assert.equal(counts.nodes, 3);
  assert.equal((await one.getPatterns()).length, 2);
  assert.equal((await one.getRetained()).length, 1);
  assert.equal(await two.deleteRetained('jobs.a.failed'), true);
  assert.ok((await one.getNamespaces()).includes(one.namespace));
});

});
