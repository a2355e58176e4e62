// A page that sleeps, wakes and goes; a tab that is reloaded or duplicated.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TabStore } from './subject.js';
import { wait, world, type World } from './world.js';

let page: EventTarget;

const happens = (type: string, properties: object = {}) => void page.dispatchEvent(Object.assign(new Event(type), properties));

beforeEach(() => {
  vi.useFakeTimers();
  page = new EventTarget();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pings = ({ net }: World) => net.last.sent.filter((frame) => frame[0] === 0x30).length;

describe('a page', () => {
  for (const type of ['visibilitychange', 'online', 'pageshow', 'resume']) {
    test(`${type}: asks at once whether the server is there`, async () => {
      const it = world();
      await wait(5000);
      expect(pings(it)).toBe(0);
      happens(type);
      expect(pings(it)).toBe(1);
      await wait(1000);
      expect(it.log).toEqual(['open']);
      expect(it.socket.rtt).toBeGreaterThan(0);
    });

    test(`${type}: finds a dead connection in a second`, async () => {
      const it = world();
      await wait(5000);
      it.net.last.blackhole();
      happens(type);
      await wait(1200);
      expect(it.net.sockets.length).toBe(2);
      expect(it.log).toEqual(['open', 'resumed']);
    });

    test(`${type}: ends the waiting for the next attempt`, async () => {
      const it = world();
      await wait(100);
      it.net.refusing = true;
      it.net.last.cut();
      await wait(60_000);
      it.net.refusing = false;
      happens(type);
      await wait(1100);
      expect(it.socket.state).toBe('attached');
    });
  }

  test('the advice of a server is not overheard for that', async () => {
    const it = world();
    it.server.refuse.push(new Uint8Array([0x60, 4, 0xb0, 0xea, 0x01, 0])); // 30 s.
    await wait(5000);
    happens('online');
    await wait(5000);
    expect(it.net.sockets.length).toBe(1);
  });

  for (const [sleeps, wakes] of [['pagehide', 'pageshow'], ['freeze', 'resume']] as const) {
    test(`${sleeps}: has no socket, and goes on with ${wakes}`, async () => {
      const it = world();
      await wait(100);
      it.server.last.send('1');
      await wait(50);
      happens(sleeps, { persisted: true });
      expect(it.net.last.closedWith).toBe(1000);
      const last = it.net.last.sent.at(-1) as Uint8Array;
      expect([...last.slice(0, 2)]).toEqual([0x20, 1]); // What came is acknowledged before.
      expect(it.socket.state).toBe('detached');
      await wait(40_000);
      expect(it.net.sockets.length).toBe(1);
      it.socket.send('while asleep');
      happens(wakes, { persisted: true });
      await wait(1100);
      expect(it.log).toEqual(['open', 'message 1', 'detached', 'resumed']);
      expect(it.server.last.received).toEqual(['twhile asleep']);
    });
  }

  test('one that goes for good ends its session', async () => {
    const it = world();
    await wait(100);
    happens('pagehide', { persisted: false });
    await wait(100);
    expect(it.server.last.ended).toBe(1000);
    expect(it.net.last.closedWith).toBe(1000);
  });

  test('a closed socket listens to nothing', async () => {
    const it = world();
    await wait(100);
    it.socket.close();
    await wait(100);
    happens('pageshow');
    await wait(60_000);
    expect(it.net.sockets.length).toBe(1);
  });
});

// ------------------------------------------------------------------ tabs

/** The session storage of a tab; a duplicate gets a copy. */
class FakeStorage {
  constructor(readonly items = new Map<string, string>()) {}
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.items.set(key, value);
  removeItem = (key: string) => void this.items.delete(key);
  copy = () => new FakeStorage(new Map(this.items));
}

/** The locks of an origin, as far as they are used. */
function fakeLocks() {
  const held = new Map<string, Promise<unknown>>();
  return {
    held,
    async request(name: string, { signal }: { signal: AbortSignal }, callback: () => Promise<void>) {
      const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      while (held.has(name)) await Promise.race([held.get(name), aborted]);
      signal.throwIfAborted();
      const done = callback();
      held.set(name, done);
      await done;
      held.delete(name);
    },
  };
}

describe('a session that survives its page', () => {
  test('goes on after a reload where its listeners had finished', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    first.socket.addEventListener('message', ({ data }) => (data === '2' ? new Promise(() => {}) : undefined));
    await wait(100);
    for (const text of ['1', '2', '3']) first.server.last.send(text);
    first.socket.send('a');
    await wait(1000);
    happens('pagehide', { persisted: false });
    const second = first.another({ store: new TabStore('chat', { storage }) });
    await wait(1000);
    expect(second.log).toEqual(['open', 'message 2', 'message 3']);
    second.socket.send('b');
    await wait(100);
    expect(first.server.sessions.length).toBe(1);
    expect(first.server.last.received).toEqual(['ta', 'tb']);
  });

  test('what it had sent and is gone with the page is a gap', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    first.net.last.blackhole();
    first.socket.send('lost with the page');
    await wait(100);
    page = new EventTarget(); // The first page is gone.
    const second = first.another({ store: new TabStore('chat', { storage }) });
    await wait(100);
    second.socket.send('b');
    await wait(1000);
    expect(second.log).toEqual(['open', 'gap out 1-1 restart']);
    expect(first.server.last.received).toEqual(['tb']);
    expect(first.server.last.gapsIn).toEqual([[1, 1]]);
  });

  test('with its messages nothing is lost with the page', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage, messages: true }) });
    await wait(100);
    first.socket.send('a');
    await wait(100);
    first.server.last.acknowledge();
    await wait(100);
    first.net.last.blackhole();
    first.socket.send('größer');
    first.socket.send(new Uint8Array([0, 200, 255]));
    await wait(100);
    expect(storage.items.size).toBe(3);
    page = new EventTarget(); // The first page is gone.
    const second = first.another({ store: new TabStore('chat', { storage, messages: true }) });
    second.socket.send('later');
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.last.received).toEqual(['ta', 'tgrößer', `b${Buffer.from([0, 200, 255])}`, 'tlater']);
    expect(first.server.sessions.length).toBe(1);
    first.server.last.acknowledge();
    await wait(100);
    second.socket.send('last');
    await wait(100);
    expect([...storage.items.keys()]).toEqual(['everwire chat', 'everwire#5 chat']);
    second.socket.close();
    await wait(100);
    expect(storage.items.size).toBe(0);
  });

  test('a session that follows a lost one is not given its messages', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage, messages: true }) });
    await wait(100);
    first.socket.send('old');
    first.server.restart();
    first.socket.onlost = () => first.socket.send('new');
    await wait(40_000);
    expect(first.log).toContain('resumed, fresh');
    page = new EventTarget();
    const second = first.another({ store: new TabStore('chat', { storage, messages: true }) });
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.last.received).toEqual(['tnew']);
  });

  test('storage that is full is given up, and nothing is doubled', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage, messages: true }) });
    await wait(100);
    storage.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    first.socket.send('a');
    await wait(100);
    expect(storage.items.size).toBe(0);
    expect(first.server.last.received).toEqual(['ta']);
    page = new EventTarget();
    const second = first.another({ store: new TabStore('chat', { storage }) });
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.sessions.length).toBe(2);
  });

  test('a duplicated tab gets a session of its own, and the first keeps its', async () => {
    const locks = fakeLocks();
    vi.stubGlobal('navigator', { locks });
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    expect(locks.held.size).toBe(1);
    const copy = storage.copy();
    const second = first.another({ store: new TabStore('chat', { storage: copy }) });
    await wait(500);
    expect(second.log).toEqual([]); // Perhaps it is a reload.
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.sessions.length).toBe(2);
    expect(locks.held.size).toBe(2);
    first.server.sessions[0]!.send('for the first');
    await wait(100);
    expect(first.log).toEqual(['open', 'message for the first']);
    expect(first.socket.state).toBe('attached');
  });

  test('a reload that comes before the last page has gone waits for its lock', async () => {
    const locks = fakeLocks();
    vi.stubGlobal('navigator', { locks });
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    const old = page;
    page = new EventTarget();
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    const second = first.another({ store: new TabStore('chat', { storage }) });
    await wait(300);
    expect(second.log).toEqual([]);
    old.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.sessions.length).toBe(1);
  });

  test('a sleeping page holds no lock, and finds out whether its session was taken', async () => {
    const locks = fakeLocks();
    vi.stubGlobal('navigator', { locks });
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    const old = page;
    page.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
    await wait(100);
    expect(locks.held.size).toBe(0);
    page = new EventTarget();
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    const second = first.another({ store: new TabStore('chat', { storage: storage.copy() }) });
    await wait(100);
    expect(first.server.sessions.length).toBe(1);
    old.dispatchEvent(new Event('pageshow'));
    await wait(2000);
    expect(second.socket.state).toBe('attached');
    expect(first.log).toEqual(['open', 'detached', 'lost []', 'resumed, fresh']);
    expect(first.server.sessions.length).toBe(2);
  });

  for (const taken of [false, true]) {
    test(`a page that sleeps before it is attached claims its session again${taken ? ', which a copy has taken' : ''}`, async () => {
      const locks = fakeLocks();
      vi.stubGlobal('navigator', { locks });
      const storage = new FakeStorage();
      const first = world({ store: new TabStore('chat', { storage }) });
      await wait(100);
      happens('pagehide', { persisted: false });
      page = new EventTarget();
      vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
      first.net.silent = true;
      const second = first.another({ store: new TabStore('chat', { storage }) });
      await wait(100);
      expect(locks.held.size).toBe(1);
      happens('freeze');
      await wait(100);
      expect(locks.held.size).toBe(0);
      first.net.silent = false;
      const old = page;
      page = new EventTarget();
      vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
      const copy = storage.copy();
      const third = taken ? first.another({ store: new TabStore('chat', { storage: copy }) }) : undefined;
      await wait(1000);
      old.dispatchEvent(new Event('resume'));
      await wait(20_000);
      expect(second.socket.state).toBe('attached');
      expect(second.log).toEqual(taken ? ['lost []', 'open'] : ['open']);
      expect(locks.held.size).toBe(taken ? 2 : 1);
      // And from now on no copy takes it.
      const fourth = first.another({ store: new TabStore('chat', { storage: storage.copy() }) });
      await wait(20_000);
      expect([second, third, fourth].map((it) => it?.socket.state ?? 'attached')).toEqual(['attached', 'attached', 'attached']);
      expect(first.server.sessions.length).toBe(taken ? 3 : 2);
    });
  }

  for (const [sleeps, wakes] of [['pagehide', 'pageshow'], ['freeze', 'resume']] as const) {
    test(`${sleeps} while it waits for its lock: it waits on with ${wakes}, and forgets nothing`, async () => {
      const locks = fakeLocks();
      vi.stubGlobal('navigator', { locks });
      const storage = new FakeStorage();
      const first = world({ store: new TabStore('chat', { storage, messages: true }) });
      await wait(100);
      first.net.last.blackhole();
      first.socket.send('kept');
      await wait(100);
      const old = page;
      page = new EventTarget();
      vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
      const second = first.another({ store: new TabStore('chat', { storage, messages: true }) });
      await wait(300);
      happens(sleeps, { persisted: true });
      await wait(5000);
      expect(storage.items.size).toBe(2);
      expect(second.log).toEqual([]);
      happens(wakes, { persisted: true });
      await wait(300);
      expect(second.log).toEqual([]);
      old.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false }));
      await wait(1000);
      expect(second.log).toEqual(['open']);
      expect(first.server.sessions.length).toBe(1);
      expect(first.server.last.received).toEqual(['tkept']);
    });
  }

  test('one that is closed while it waits for its lock takes it never', async () => {
    const locks = fakeLocks();
    vi.stubGlobal('navigator', { locks });
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    const second = first.another({ store: new TabStore('chat', { storage: storage.copy() }) });
    await wait(300);
    second.socket.close();
    await wait(100);
    first.socket.close();
    happens('pageshow');
    await wait(2000);
    expect(locks.held.size).toBe(0);
  });

  test('a name that looks like another with a number has entries of its own', async () => {
    const storage = new FakeStorage();
    const first = world({ store: new TabStore('room', { storage, messages: true }) });
    first.another({ store: new TabStore('room 1', { storage, messages: true }) });
    await wait(100);
    first.socket.send('of the first');
    await wait(100);
    page = new EventTarget(); // The page is gone.
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    const second = first.another({ store: new TabStore('room 1', { storage, messages: true }) });
    await wait(1000);
    expect(second.log).toEqual(['open']);
    expect(first.server.sessions.length).toBe(2);
  });

  test('closing forgets it', async () => {
    const storage = new FakeStorage();
    const it = world({ store: new TabStore('chat', { storage }) });
    await wait(100);
    expect(storage.items.size).toBe(1);
    it.socket.close();
    await wait(100);
    expect(storage.items.size).toBe(0);
  });

  test('what is stored and is none of ours is ignored', async () => {
    for (const text of ['', '{', '{}', '[[],[],1,1,1]', 'null']) {
      const storage = new FakeStorage(new Map([['everwire chat', text]]));
      const { log } = world({ store: new TabStore('chat', { storage }) });
      await wait(100);
      expect(log).toEqual(['open']);
    }
  });
});
