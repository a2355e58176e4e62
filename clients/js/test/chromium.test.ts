// A page in a real browser: going away and coming back, reloading, a duplicated tab. What is built is what it loads.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { missing, site, type Site } from './chromium.js';

const soon = { timeout: 60_000, interval: 50 };
let it: Site;

beforeEach(async () => void (it = await site()));
afterEach(() => it.close());

/** Waits until the pages have said this, whatever else. */
const says = (...what: string[]) => vi.waitFor(() => expect(it.said).toEqual(expect.arrayContaining(what)), soon);

if (missing) console.warn('SKIPPED: there is no Chromium; see CHROMIUM in test/chromium.ts');

describe.skipIf(missing)('in Chromium', { timeout: 180_000 }, () => {
  test('a connection that is cut is resumed, with the HELLO in the upgrade', async () => {
    it.visit(`const socket = watch(new EverwireSocket('/'));
      socket.onopen = () => socket.send('a');`);
    await vi.waitFor(() => expect(it.server.sessions[0]?.received).toEqual(['ta']), soon);
    it.cut();
    it.server.last.send('1');
    await says('page: resumed', 'page: message 1');
    expect(it.server.hellos.map(({ form }) => form)).toEqual(['inline', 'early']);
    expect(it.server.sessions.length).toBe(1);
  });

  test('a page that went away and comes back from the cache goes on, with what was sent meanwhile', async () => {
    it.visit(`const socket = watch(new EverwireSocket('/'));
      socket.onmessage = ({ data }) => data === 'go' && (location.href = '/away');
      addEventListener('pagehide', ({ persisted }) => say(persisted ? 'may be kept' : 'goes'));
      addEventListener('pageshow', ({ persisted }) => persisted && socket.send('back'));`);
    await says('page: open');
    it.server.last.send('go');
    await says('page: may be kept');
    it.server.last.send('while away');
    await says('page: is back', 'page: resumed', 'page: message while away');
    expect(it.said.filter((what) => /: (message|lost|gap|close)/.test(what))).toEqual(['page: message go', 'page: message while away']);
    await vi.waitFor(() => expect(it.server.sessions.map(({ received }) => received)).toEqual([['tback']]), soon);
  });

  test('so does one with a store, which has given its lock back', async () => {
    it.visit(`const socket = watch(new EverwireSocket('/', { store: new TabStore('test') }));
      socket.onmessage = ({ data }) => data === 'go' && (location.href = '/away');`);
    await says('page: open');
    it.server.last.send('go');
    await says('page: message go', 'page: is back', 'page: resumed');
    expect(it.server.sessions.length).toBe(1);
  });

  test('a reload goes on with what its listeners had not finished and the server had not acknowledged', async () => {
    it.visit(`const again = sessionStorage.getItem('again');
      const socket = watch(new EverwireSocket('/', { store: new TabStore('test', { messages: true }) }));
      socket.addEventListener('message', ({ data }) => {
        if (again) return;
        if (data !== 'go') return new Promise(() => {});
        sessionStorage.setItem('again', 'yes');
        socket.send('last words');
        location.reload();
      });
      if (again) say('is reloaded');`);
    await says('page: open');
    for (const text of ['unfinished', 'go']) it.server.last.send(text);
    await says('page: is reloaded');
    await vi.waitFor(() => expect(it.said.filter((what) => what === 'page: message unfinished').length).toBe(2), soon);
    await vi.waitFor(() => expect(it.server.sessions.map(({ received }) => received)).toEqual([['tlast words']]), soon);
    expect(it.said).not.toContain('page: gap');
  });

  test('a duplicated tab gets a session of its own, and the first keeps its', async () => {
    it.visit(`const socket = watch(new EverwireSocket('/', { store: new TabStore('test') }));
      // A window that was opened by a page gets a copy of its session storage, as a duplicate does.
      socket.onopen = () => who === 'page' ? (open('/?who=copy'), socket.send('first')) : socket.send('second ' + sessionStorage.length);`);
    await says('page: open', 'copy: open');
    await vi.waitFor(() => expect(it.server.sessions.map(({ received }) => received)).toEqual([['tfirst'], ['tsecond 1']]), soon);
    for (const [i, session] of it.server.sessions.entries()) session.send(`to ${i + 1}`);
    await says('page: message to 1', 'copy: message to 2');
    expect(it.said.filter((what) => /lost|close|detached/.test(what))).toEqual([]);
  });

  test('a server that speaks no everwire.v1 is talked to plainly, although Chromium fails the first attempt', async () => {
    const other = await site(true);
    try {
      other.visit(`const socket = watch(new EverwireSocket('/'));
        socket.onopen = () => { say(socket.state); socket.send('echo'); };`);
      await vi.waitFor(() => expect(other.said).toEqual(expect.arrayContaining(['page: plain', 'page: message echo'])), soon);
    } finally {
      await other.close();
    }
  });
});
