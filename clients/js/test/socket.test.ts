// The standard interface, and what becomes of it when connections break.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Net } from './net.js';
import { ReferenceServer, n } from './server.js';
import { EverwireSocket } from './subject.js';
import { wait, world } from './world.js';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const echo = (server: ReferenceServer) => {
  server.onMessage = (session, frame) => session.send(`echo ${Buffer.from(frame.slice(1))}`);
};
const realTimeout = setTimeout;

/** Returns what application code does wrong meanwhile, as Node reports it. */
async function reported(kind: 'uncaughtException' | 'unhandledRejection', action: () => Promise<unknown>): Promise<unknown> {
  const listeners = process.listeners(kind as any);
  const errors: unknown[] = [];
  process.removeAllListeners(kind);
  process.on(kind, (error) => void errors.push(error));
  await action();
  await new Promise((resolve) => realTimeout(resolve, 0));
  process.removeAllListeners(kind);
  for (const listener of listeners) process.on(kind as any, listener as any);
  expect(errors.length).toBe(1);
  return errors[0];
}

const pings = (sent: (string | Uint8Array)[]) => sent.filter((frame) => frame[0] === 0x30 || frame[0] === 0x40).length;

describe('the standard interface', () => {
  test('constants are on the class and on its instances', () => {
    const { socket } = world();
    for (const place of [EverwireSocket, socket]) {
      expect([place.CONNECTING, place.OPEN, place.CLOSING, place.CLOSED]).toEqual([0, 1, 2, 3]);
    }
  });

  test('it opens, talks and closes', async () => {
    const { server, socket, log, url } = world();
    echo(server);
    expect([socket.readyState, socket.state, socket.url, socket.protocol]).toEqual([0, 'connecting', url, '']);
    await wait(100);
    expect([socket.readyState, socket.state, socket.protocol]).toEqual([1, 'attached', 'everwire.v1']);
    socket.send('hi');
    await wait(100);
    socket.close(3001, 'done');
    expect(socket.readyState).toBe(2);
    await wait(100);
    expect(socket.readyState).toBe(3);
    expect(log).toEqual(['open', 'message echo hi', 'close 3001 done true']);
    expect(server.last.ended).toBe(3001);
  });

  test('a normal closure is clean and has no error', async () => {
    const { socket, log } = world();
    await wait(100);
    socket.close();
    await wait(100);
    expect(log).toEqual(['open', 'close 1000  true']);
  });

  test('handlers are attributes, and get an event with a target', async () => {
    const { socket } = world();
    const seen: unknown[] = [];
    expect(socket.onopen).toBe(null);
    const handler = (event: Event) => void seen.push(event.type, event.target === socket);
    socket.onopen = handler;
    expect(socket.onopen).toBe(handler);
    socket.onclose = () => void seen.push('never');
    socket.onclose = null;
    await wait(100);
    socket.close();
    await wait(100);
    expect(seen).toEqual(['open', true]);
  });

  test('listeners are objects or functions, called once each, removed by signal', async () => {
    const { server, socket } = world();
    const seen: string[] = [];
    const object = { handleEvent: ({ type }: Event) => void seen.push(`object ${type}`) };
    socket.addEventListener('message', object);
    socket.addEventListener('message', object);
    socket.addEventListener('message', () => void seen.push('once'), { once: true });
    const controller = new AbortController();
    socket.addEventListener('message', () => void seen.push('signal'), { signal: controller.signal });
    await wait(100);
    server.last.send('1');
    await wait(100);
    controller.abort();
    socket.removeEventListener('message', object);
    server.last.send('2');
    await wait(100);
    expect(seen).toEqual(['object message', 'once', 'signal']);
  });

  test('a listener that throws is reported and hinders nobody', async () => {
    const { server, socket, log } = world();
    socket.onmessage = () => {
      throw new Error('mine');
    };
    await wait(100);
    server.last.send('1');
    expect(await reported('uncaughtException', () => wait(100))).toEqual(new Error('mine'));
    expect(log).toEqual(['open', 'message 1']);
  });

  test('binary messages are blobs, or buffers of their own', async () => {
    const { server, socket } = world();
    const data: any[] = [];
    socket.onmessage = (event) => void data.push(event.data);
    await wait(100);
    expect(socket.binaryType).toBe('blob');
    const binary = () => server.last.wire!.send(new Uint8Array([0x12, 1, 2])); // Volatile, so it needs no number.
    binary();
    await wait(100);
    socket.binaryType = 'arraybuffer';
    binary();
    await wait(100);
    expect(data[0]).toBeInstanceOf(Blob);
    expect(new Uint8Array(await data[0].arrayBuffer())).toEqual(new Uint8Array([1, 2]));
    expect(new Uint8Array(data[1])).toEqual(new Uint8Array([1, 2]));
  });

  test('messages keep their order when a blob must be read first', { timeout: 30_000 }, async () => {
    const { server, socket } = world();
    await wait(100);
    const bytes = new Uint8Array([0x78, 0x79, 0x7a]);
    socket.send('1');
    socket.send(new Blob(['2']));
    socket.send(bytes.subarray(1, 2));
    bytes.fill(0); // What was sent is a copy.
    socket.send('4');
    socket.send(new Blob(['5']));
    expect(socket.bufferedAmount).toBe(5);
    socket.close();
    await vi.waitFor(() => expect(socket.readyState).toBe(3), { timeout: 20_000 });
    expect(server.last.received).toEqual(['t1', 'b2', 'by', 't4', 'b5']);
  });

  test('what is sent before the first connection is kept', async () => {
    const { server, socket } = world();
    socket.send('1');
    await wait(100);
    expect(server.last.received).toEqual(['t1']);
    expect(socket.bufferedAmount).toBe(1);
    await wait(30_000);
    server.last.acknowledge();
    await wait(100);
    expect(socket.bufferedAmount).toBe(0);
  });

  test('close codes and reasons are checked', () => {
    const { socket } = world();
    for (const code of [999, 1001, 2999, 5000]) expect(() => socket.close(code)).toThrow(/code/);
    expect(() => socket.close(1000, 'x'.repeat(124))).toThrow(/123/);
  });

  test('closed before it opened, nothing was', async () => {
    const { socket, log } = world();
    socket.close();
    await wait(100);
    expect(log).toEqual(['error', 'close 1006  false']);
  });

  test('closed before it opened, what was sent is delivered first', async () => {
    const { server, socket, log } = world();
    socket.send('1');
    socket.close();
    await wait(200);
    expect(server.last.received).toEqual(['t1']);
    expect(log.at(-1)).toBe('close 1000  true');
  });

  test('closed with a code before it opened, it never opens', async () => {
    const { server, socket, log } = world();
    socket.send('1');
    socket.close(3456, 'bye');
    await wait(200);
    expect(server.last.received).toEqual(['t1']);
    expect(log).toEqual(['close 3456 bye true']);
  });

  test('what is neither text nor bytes is sent as its text', async () => {
    const { server, socket } = world();
    await wait(100);
    const send = (data: unknown) => socket.send(data as string);
    for (const data of [{ a: 1 }, null, undefined, 5, true, new Uint8Array(), new ArrayBuffer(1)]) send(data);
    await wait(100);
    expect(server.last.received).toEqual(['t[object Object]', 'tnull', 'tundefined', 't5', 'ttrue', 'b', 'b\0']);
  });

  test('a URL that is none is refused at once', () => {
    expect(() => new EverwireSocket('http://')).toThrow();
  });

  test('the second argument may be subprotocols', () => {
    const net = new Net(new ReferenceServer());
    vi.stubGlobal('WebSocket', net.WebSocket);
    new EverwireSocket('ws://standard/', ['a', 'b']);
    return wait(10).then(() => {
      vi.unstubAllGlobals();
      expect(net.last.protocols).toEqual(['everwire.v1', 'a', 'b']);
    });
  });
});

describe('a connection breaks', () => {
  test('the session goes on, and readyState stays OPEN', async () => {
    const { server, net, socket, log } = world();
    await wait(100);
    server.last.send('1');
    await wait(100);
    net.last.cut();
    await wait(5);
    expect([socket.readyState, socket.state]).toEqual([1, 'detached']);
    socket.send('a');
    server.last.wire = undefined;
    server.last.send('2');
    await wait(3000);
    expect([socket.readyState, socket.state]).toEqual([1, 'attached']);
    expect(log).toEqual(['open', 'message 1', 'detached', 'resumed', 'message 2']);
    expect(server.last.received).toEqual(['ta']);
    expect(server.sessions.length).toBe(1);
  });

  test('the first HELLO is a message, that of a resume is in the upgrade', async () => {
    const { server, net } = world();
    await wait(100);
    net.last.cut();
    await wait(3000);
    expect(server.hellos.map(({ form }) => form)).toEqual(['inline', 'early']);
    expect(net.last.protocols[1]).toMatch(/^everwire-h\.[\w-]+$/);
    expect(net.last.sent[0]![0]).toBe(0x20); // The first thing that was sent is the ACK.
  });

  test('without `early` it is always a message', async () => {
    const { server, net } = world({ early: false });
    await wait(100);
    net.last.cut();
    await wait(3000);
    expect(server.hellos.map(({ form }) => form)).toEqual(['inline', 'inline']);
  });

  test('a black hole is noticed within 3 s of sending, and nothing is lost', async () => {
    const { server, net, socket, log } = world();
    await wait(20_000);
    net.last.blackhole();
    socket.send('a');
    await wait(3000);
    expect(net.sockets.length).toBe(2);
    expect(server.last.received).toEqual(['ta']);
    // Made before the break: the application has noticed nothing.
    expect(log).toEqual(['open', 'resumed']);
    expect(net.sockets[0]!.closedWith).toBe(1000);
  });

  test('a suspicion that proves false costs nothing', async () => {
    const { server, net, socket, log } = world();
    await wait(1000);
    let held = true;
    const first = net.last;
    const { onmessage } = first;
    const late: any[] = [];
    first.onmessage = (event) => void (held ? late.push(event) : onmessage!(event));
    net.silent = true; // The second socket takes its time.
    socket.send('a');
    await wait(2500);
    expect(net.sockets.length).toBe(2);
    held = false;
    late.forEach((event) => first.onmessage!(event));
    await wait(30_000);
    expect(net.sockets.length).toBe(2);
    expect(net.sockets[1]!.closedWith).toBe(1000);
    expect(log).toEqual(['open']);
    expect(server.hellos.length).toBe(1);
  });

  test('where connections are short, a session is resumed before it is forgotten', async () => {
    const { server, net, log } = world();
    await wait(100);
    let longest = 0;
    for (let cuts = 0; cuts < 300; cuts++) {
      net.last.cut();
      const began = Date.now();
      do await wait(50);
      while (log.at(-1) !== 'resumed');
      longest = Math.max(longest, Date.now() - began);
      await wait(1000);
    }
    expect(longest).toBeLessThan(3000);
    expect(server.sessions.length).toBe(1);
  });

  test('a server that resumes and closes as if it were wronged is met with patience', async () => {
    const { server, net, log } = world();
    const { accept } = server;
    let seen = 0;
    server.accept = function (wire, protocols) {
      const take = accept.call(server, wire, protocols);
      if (seen++) setTimeout(() => wire.close(4500), 50); // Without BYE.
      return take;
    };
    await wait(100);
    net.last.cut();
    await wait(60_000);
    expect(log.filter((line) => line === 'resumed').length).toBeGreaterThan(2);
    expect(net.sockets.length).toBeLessThan(15);
    expect(server.sessions.length).toBe(1);
  });

  test('silence for longer than the heartbeat is death', async () => {
    const { net, log } = world();
    await wait(100);
    net.last.blackhole();
    await wait(34_000);
    expect(log).toEqual(['open']);
    await wait(5000);
    expect(log).toEqual(['open', 'detached', 'resumed']);
    expect(net.sockets[0]!.closedWith).toBe(4408);
  });

  test('a server that lives but acknowledges nothing is asked, and given up', async () => {
    const { server, net, socket } = world();
    await wait(1000);
    const first = net.last;
    const chatter = setInterval(() => first.deliver(new Uint8Array([0x12])), 500); // Volatile messages.
    const session = server.last;
    const { handle } = session;
    session.handle = () => {};
    socket.send('a');
    await wait(9000);
    expect(pings(first.sent)).toBe(0);
    await wait(2000);
    expect(pings(first.sent)).toBe(1);
    await wait(48_000);
    expect(first.closedWith).toBe(undefined);
    session.handle = handle;
    await wait(3000);
    expect(first.closedWith).toBe(4408);
    clearInterval(chatter);
    await wait(3000);
    expect(session.received).toEqual(['ta']);
  });

  test('heartbeats are answered from the message handler, without a timer', async () => {
    const { net, server } = world();
    await wait(100);
    const { sent } = net.last;
    const before = pings(sent);
    const frame = new Uint8Array([0x30, 9, ...server.last.counts()]);
    net.last.onmessage!({ data: frame.slice().buffer });
    expect(pings(sent)).toBe(before + 1);
    expect((sent.at(-1) as Uint8Array).slice(0, 2)).toEqual(new Uint8Array([0x40, 9]));
  });

  test('a background tab whose timers come once a minute stays attached', async () => {
    const { server, log, net } = world();
    await wait(100);
    const real = globalThis.setTimeout;
    // The page's timers are slow; those of the wire are not.
    const slow = vi.spyOn(globalThis, 'setTimeout').mockImplementation(((action: () => void, ms = 0) =>
      real(action, new Error().stack!.includes('/net.ts') ? ms : Math.max(ms, 60_000))) as typeof setTimeout);
    const beat = setInterval(() => server.last.ping(), 25_000);
    await wait(600_000);
    clearInterval(beat);
    slow.mockRestore();
    expect(log).toEqual(['open']);
    expect(net.sockets.length).toBe(1);
  });

  test('a computer that slept for an hour attaches again at once', async () => {
    const { server, net, log } = world();
    await wait(1000);
    net.last.blackhole();
    vi.setSystemTime(Date.now() + 3_600_000); // Timers do not see it.
    await wait(12_000); // By the next look at the clock.
    expect(log).toEqual(['open', 'detached', 'resumed']);
    expect(server.sessions.length).toBe(1);
  });

  test('a server that forgot is told loudly, with what it had not acknowledged', async () => {
    const { server, net, socket, log } = world();
    await wait(100);
    socket.send('a');
    await wait(5);
    net.last.blackhole();
    server.restart();
    await wait(6000);
    socket.send('b');
    await wait(100);
    expect(log).toEqual(['open', 'lost [a]', 'resumed, fresh']);
    expect(server.last.received).toEqual(['tb']);
  });

  test('what the server evicted is a gap in its place', async () => {
    const { server, net, log } = world();
    server.config.buffer = 12;
    await wait(100);
    net.last.cut();
    await wait(5);
    server.last.wire = undefined;
    for (const text of ['aaaa', 'bbbb', 'cccc']) server.last.send(text);
    await wait(3000);
    expect(log).toEqual(['open', 'detached', 'resumed', 'gap in 1-1 evicted-bytes', 'message bbbb', 'message cccc']);
  });

  test('superseded, it does not come back', async () => {
    const { net, log, server } = world();
    await wait(100);
    server.last.wire!.close(4509);
    await wait(100_000);
    expect(log).toEqual(['open', 'close 4509  true']);
    expect(net.sockets.length).toBe(1);
  });

  test('a violation ends the session and begins another', async () => {
    const { server, log } = world();
    await wait(100);
    server.last.wire!.send(new Uint8Array([0x20, 0, 0, 7, 0])); // It never sent seven.
    server.last.token = '-';
    await wait(3000);
    expect(log).toEqual(['open', 'lost []', 'resumed, fresh']);
    expect(server.sessions.length).toBe(2);
  });

  test('an end that is final closes the socket', async () => {
    const { server, net, log } = world();
    await wait(100);
    server.last.wire!.send(new Uint8Array([0x90, ...n(4503), ...server.last.counts(), 6, ...Buffer.from('kicked')]));
    await wait(100_000);
    expect(log).toEqual(['open', 'close 4503 kicked true']);
    expect(net.sockets.length).toBe(1);
  });

  test('closed while detached, it says goodbye when it can', async () => {
    const { server, net, socket, log } = world();
    await wait(100);
    net.last.cut();
    await wait(5);
    socket.send('last');
    socket.close(1000, 'bye');
    await wait(3000);
    expect(server.last.received).toEqual(['tlast']);
    expect(server.last.ended).toBe(1000);
    expect(log.at(-1)).toBe('close 1000 bye true');
  });

  test('closed while detached for good, it ends when the server has forgotten', async () => {
    const { net, socket, log } = world();
    await wait(100);
    net.refusing = true;
    net.last.cut();
    await wait(5);
    socket.close();
    await wait(59_000);
    expect(socket.readyState).toBe(2);
    await wait(2000);
    expect(log.at(-1)).toMatch(/^close 1000/);
  });
});

describe('what the server wants', () => {
  const welcome = (...bytes: number[]) => new Uint8Array([0x60, ...bytes]);

  test('busy: it comes back when it was told to', async () => {
    const { server, net, log } = world();
    server.refuse.push(welcome(4, ...n(30_000), ...n(0)));
    await wait(29_000);
    expect(net.sockets.length).toBe(1);
    await wait(3000);
    expect(log).toEqual(['open']);
  });

  test('moved: it goes there', async () => {
    const { server, net, log } = world();
    const url = 'ws://elsewhere/x';
    server.refuse.push(welcome(5, url.length, ...Buffer.from(url)));
    await wait(1000);
    expect(net.last.url).toBe(url);
    expect(log).toEqual(['open']);
  });

  test('a fresh ticket: the provider is asked once more, and then it gives up', async () => {
    const asked: boolean[] = [];
    const ticket = async ({ refresh }: { refresh: boolean }) => {
      asked.push(refresh);
      return `ticket ${asked.length}`;
    };
    const { server, log } = world({ ticket });
    server.refuse.push(welcome(6));
    await wait(1000);
    expect(asked).toEqual([false, true]);
    expect(server.hellos.map(({ auth }) => auth)).toEqual(['ticket 1', 'ticket 2']);
    expect(log).toEqual(['open']);

    const stubborn = world({ ticket });
    stubborn.server.refuse.push(welcome(6), welcome(6));
    await wait(100_000);
    expect(stubborn.log).toEqual(['error', 'close 4501  false']);
    expect(stubborn.server.hellos.length).toBe(2);
  });

  test('a ticket in the session', async () => {
    const { server, net } = world({ ticket: async ({ refresh }) => (refresh ? 'fresh' : 'first') });
    await wait(100);
    server.last.wire!.send(new Uint8Array([0xa1, ...n(5000)]));
    await wait(100);
    expect(net.last.sent.map((frame) => Buffer.from(frame as Uint8Array).toString('latin1'))).toContain('\xa0fresh');
  });

  test('a ticket that will expire is renewed before it does', async () => {
    const asked: boolean[] = [];
    const ticket = ({ refresh }: { refresh: boolean }) => `ticket ${asked.push(refresh)}`;
    const { server, net } = world({ ticket });
    await wait(100);
    server.last.wire!.send(new Uint8Array([0xa2, ...n(100_000)]));
    await wait(70_000);
    expect(asked).toEqual([false]);
    await wait(10_000);
    expect(asked).toEqual([false, true]);
    expect(Buffer.from(net.last.sent.at(-1) as Uint8Array).toString('latin1')).toBe('\xa0ticket 2');
    server.last.wire!.send(new Uint8Array([0xa2, 0])); // It never expires.
    await wait(1_000_000);
    expect(asked.length).toBe(2);
  });

  test('a ticket that does not come is told', async () => {
    let asked = 0;
    const ticket = async () => (asked++ ? Promise.reject(new Error('no')) : '');
    const { server, log } = world({ ticket });
    await wait(100);
    server.last.wire!.send(new Uint8Array([0xa1, 0]));
    await wait(100);
    expect(log).toEqual(['open', 'error']);
  });

  test('moved from wss: to ws:, it does not go there', async () => {
    const { server, net, socket, log } = world({ source: 'wss://safe/' });
    const errors: unknown[] = [];
    socket.onerror = ({ error }: any) => void errors.push(String(error));
    const url = 'ws://unsafe/';
    server.refuse.push(welcome(5, url.length, ...Buffer.from(url)));
    await wait(5000);
    expect(net.sockets.map(({ url }) => url)).toEqual(['wss://safe/', 'wss://safe/']);
    expect(errors).toEqual(['RangeError: ws://unsafe/ after wss://safe/']);
    expect(log).toEqual(['error', 'open']);
  });

  test('goaway: another socket first, then the old one goes', async () => {
    const { server, net, log } = world();
    await wait(10_000);
    server.last.wire!.send(new Uint8Array([0x80, ...n(1000), ...n(0), 0]));
    await wait(900);
    expect(net.sockets.length).toBe(1);
    await wait(1000);
    expect(net.sockets.length).toBe(2);
    expect(net.sockets[0]!.closedWith).toBe(1000);
    expect(log).toEqual(['open', 'resumed']);
    expect(server.last.epoch).toBe(2);
  });

  test('goaway, and then the socket is closed: the later advice counts', async () => {
    const { server, net, log } = world();
    await wait(100);
    server.last.wire!.send(new Uint8Array([0x80, ...n(3000), ...n(0), 0]));
    await wait(100);
    net.last.cut(1012, 'retry=30000;spread=1000');
    await wait(29_000);
    expect(net.sockets.length).toBe(1);
    await wait(3000);
    expect(net.sockets.length).toBe(2);
    expect(log).toEqual(['open', 'detached', 'resumed']);
  });

  test('goaway, attempts fail, and then the socket is closed: the later advice counts', async () => {
    const { server, net } = world();
    await wait(15_000);
    const first = net.last;
    server.last.wire!.send(new Uint8Array([0x80, 0, 0, 0]));
    net.refusing = true;
    await wait(1000);
    first.cut(1012, 'retry=30000;spread=1000');
    await wait(100); // An attempt that is under way fails too.
    net.refusing = false;
    const tried = net.sockets.length;
    expect(tried).toBeGreaterThan(1);
    await wait(29_000);
    expect(net.sockets.length).toBe(tried);
    await wait(3000);
    expect(net.sockets.length).toBe(tried + 1);
  });

  test('goaway, again and again: a connection stays for a while, and one that has stayed goes at once', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const { server, net } = world();
    await wait(100);
    const goaway = () => server.last.wire!.send(new Uint8Array([0x80, 0, 0, 0]));
    for (let epoch = 1; epoch < 6; epoch++) {
      goaway();
      await wait(4500);
      expect(server.last.epoch).toBe(epoch);
      await wait(600);
      expect(server.last.epoch).toBe(epoch + 1);
    }
    await wait(10_000);
    goaway();
    await wait(100);
    expect(server.last.epoch).toBe(7);
    expect(net.sockets.length).toBe(7);
  });

  test('goaway, but the new place does not answer: it stays and tries again', async () => {
    const { server, net, log } = world();
    await wait(100);
    net.refusing = true;
    server.last.wire!.send(new Uint8Array([0x80, 0, 0, 0]));
    await wait(5000);
    expect(log).toEqual(['open']);
    net.refusing = false;
    await wait(30_000);
    expect(server.last.epoch).toBe(2);
    expect(log).toEqual(['open', 'resumed']);
  });
});

describe('back-pressure', () => {
  test('credit comes back when the promises of all listeners have settled', async () => {
    const { server, socket } = world({ window: 100 });
    const finish: (() => void)[] = [];
    socket.addEventListener('message', () => new Promise<void>((resolve) => finish.push(resolve)));
    socket.addEventListener('message', () => new Promise<void>((resolve) => finish.push(resolve)));
    await wait(100);
    for (let i = 0; i < 10; i++) server.last.send(`message ${i}`);
    await wait(1000);
    expect(server.last.position).toBe(3); // 42 each: the third was begun below 100.
    expect(server.last.acked).toBe(3); // What was received is acknowledged all the same.
    finish.splice(0, 1).forEach((done) => done());
    await wait(1000);
    expect(server.last.position).toBe(3);
    while (finish.length) {
      finish.splice(0).forEach((done) => done());
      await wait(1000);
    }
    expect(server.last.position).toBe(10);
  });

  test('a listener that rejects gives its credit back, and is reported', async () => {
    const { server, socket } = world({ window: 40 });
    let seen = 0;
    socket.addEventListener('message', async () => {
      if (!seen++) throw new Error('rejected');
    });
    await wait(100);
    for (let i = 0; i < 4; i++) server.last.send('x'.repeat(60));
    expect(await reported('unhandledRejection', () => wait(3000))).toEqual(new Error('rejected'));
    await wait(3000);
    expect(seen).toBe(4);
  });

  test('send refuses what would not fit', async () => {
    const { server, socket, net } = world({ bufferBytes: 10, bufferMessages: 3 });
    await wait(100);
    net.last.blackhole();
    socket.send('12345678901234'); // Alone it may.
    expect(() => socket.send('1')).toThrow(/unacknowledged/);
    await wait(10_000);
    server.last.acknowledge();
    await wait(100);
    net.last.blackhole();
    for (let i = 0; i < 3; i++) socket.send('1');
    expect(() => socket.send('1')).toThrow(expect.objectContaining({ name: 'QuotaExceededError' }));
    expect(() => socket.send('x'.repeat(1_048_577))).toThrow(RangeError);
  });

  test('while detached the oldest give way, if that is wanted, and it is told', async () => {
    const { server, socket, net, log } = world({ bufferBytes: 10, bufferMessages: 3, evict: true });
    await wait(100);
    socket.send('12345678');
    expect(() => socket.send('123')).toThrow(/unacknowledged/); // Attached, nothing gives way.
    await wait(100);
    server.last.acknowledge();
    await wait(100);
    net.refusing = true;
    net.last.cut();
    await wait(5);
    for (const text of ['aaaa', 'bbbb', 'cccc', 'd', 'e']) socket.send(text);
    expect(log).toEqual(['open', 'detached', 'gap out 2-2 evicted-bytes', 'gap out 3-3 evicted-bytes']);
    expect(socket.bufferedAmount).toBe(6);
    net.refusing = false;
    await wait(30_000);
    expect(log.slice(4)).toEqual(['resumed']);
    expect(server.last.gapsIn).toEqual([[2, 3]]);
    expect(server.last.received).toEqual(['t12345678', 'tcccc', 'td', 'te']);
  });

  test('a volatile message goes now or never', async () => {
    const { server, socket, net } = world();
    const seen: string[] = [];
    server.onVolatile = (_session, frame) => void seen.push(Buffer.from(frame.slice(1)).toString());
    socket.sendVolatile('too early');
    await wait(100);
    socket.sendVolatile('now');
    await wait(100);
    net.last.cut();
    await wait(5);
    socket.sendVolatile('too late');
    await wait(3000);
    expect(seen).toEqual(['now']);
    expect(socket.bufferedAmount).toBe(0);
  });
});

describe('providers', () => {
  test('the URL is asked for before each attempt', async () => {
    let asked = 0;
    const source = async ({ attempt }: { attempt: number }) => `ws://provided-${attempt}/?${++asked}`;
    const { net, socket } = world({ source });
    expect(socket.url).toBe('');
    await wait(100);
    expect(socket.url).toBe('ws://provided-1/?1');
    net.last.cut();
    await wait(3000);
    expect(net.last.url).toBe('ws://provided-2/?2');
  });

  test('one that leaves wss: for ws: is refused', async () => {
    const source = ({ attempt }: { attempt: number }) => (attempt === 2 ? 'http://provided/' : 'https://provided/');
    const { net, log } = world({ source });
    await wait(100);
    net.last.cut();
    await wait(10_000);
    expect(net.sockets.map(({ url }) => url)).toEqual(['wss://provided/', 'wss://provided/']);
    expect(log).toEqual(['open', 'detached', 'error', 'resumed']);
  });

  test('one that fails is a failed attempt, and one that hangs too', async () => {
    let asked = 0;
    const source = () => {
      if (++asked === 1) return Promise.reject(new Error('no'));
      if (asked === 2) return new Promise(() => {});
      return 'http://provided/';
    };
    const { net, log } = world({ source });
    await wait(60_000);
    expect(net.last.url).toBe('ws://provided/');
    expect(log).toEqual(['error', 'open']);
  });
});

describe('a server without everwire.v1', () => {
  const select = {
    chromium: (protocols: string[]) => (protocols.length ? undefined : ''),
    firefox: () => '',
    first: (protocols: string[]) => protocols[0] ?? '',
  };

  for (const browser of ['chromium', 'firefox'] as const) {
    test(`${browser}: it is a plain WebSocket that says so`, async () => {
      const { net, socket, log } = world();
      net.config.select = select[browser];
      socket.send('before');
      await wait(200);
      expect([socket.state, socket.readyState, socket.protocol]).toEqual(['plain', 1, '']);
      socket.send('after');
      await wait(100);
      expect(log).toEqual(['open', 'message before', 'message after']);
      expect(socket.bufferedAmount).toBe(0);
      socket.close(3005, 'bye');
      await wait(100);
      expect(log.at(-1)).toBe('close 3005 bye true');
    });

    test(`${browser}: a plain connection comes back, and says what that means`, async () => {
      const { net, socket, log } = world();
      net.config.select = select[browser];
      await wait(200);
      net.last.cut();
      await wait(5);
      expect([socket.state, socket.readyState]).toEqual(['detached', 1]);
      socket.send('while down');
      await wait(3000);
      expect(log).toEqual(['open', 'detached', 'lost []', 'resumed, fresh', 'message while down']);
    });
  }

  test('the verdict is remembered for the next socket', async () => {
    const { net, another } = world();
    net.config.select = select.chromium;
    await wait(200);
    expect(net.sockets.length).toBe(2);
    another();
    await wait(200);
    expect(net.sockets.length).toBe(3);
    expect(net.last.protocols).toEqual([]);
  });

  test('a server that was only down is offered sessions again', async () => {
    const { net, socket } = world();
    net.refusing = true;
    await wait(20_000);
    const offers = net.sockets.map(({ protocols }) => protocols.length > 0);
    expect(offers.slice(0, 4)).toEqual([true, false, true, false]);
    net.config.select = (protocols) => (protocols.includes('everwire.v1') ? 'everwire.v1' : undefined);
    net.refusing = false;
    await wait(100_000);
    expect(socket.state).toBe('attached');
  });

  test('a server that selects what it does not speak is found out', async () => {
    const { net, socket, log } = world();
    net.config.select = select.first;
    net.server.accept = () => (frame) => net.last.deliver(frame); // It echoes the HELLO.
    socket.send('1');
    await wait(10_000);
    expect(socket.state).toBe('plain');
    expect(log).toEqual(['open', 'message 1']);
  });

  test('a failure that is told before its close is one at once', async () => {
    const { net, socket, log } = world();
    net.config.select = select.chromium;
    net.hesitating = true;
    await wait(200);
    expect(socket.state).toBe('plain');
    expect(log).toEqual(['open']);
  });

  test('required, where an offer that is ignored fails: it is the end all the same', async () => {
    const { net, socket, log } = world({ session: 'required' });
    net.config.select = select.chromium;
    await wait(2000);
    expect(log).toEqual(['error', 'close 1010 no everwire.v1 false']);
    expect(net.sockets.map(({ protocols }) => protocols.length)).toEqual([1, 0, 1]);
    await wait(100_000);
    expect(net.open.length).toBe(0);
    expect([net.sockets.length, socket.readyState]).toEqual([3, 3]);
  });

  test('required: a server that failed once and speaks is not mistaken', async () => {
    const { net, socket, log } = world({ session: 'required' });
    net.config.select = (protocols) => (net.sockets.length === 1 ? undefined : protocols[0] ?? '');
    await wait(3000);
    expect(net.sockets[1]!.protocols).toEqual([]);
    expect(socket.state).toBe('attached');
    expect(log).toEqual(['open']);
  });

  test('required: a server that is down is waited for', async () => {
    const { net, log } = world({ session: 'required' });
    net.refusing = true;
    await wait(100_000);
    expect(log).toEqual([]);
    net.refusing = false;
    await wait(100_000);
    expect(log).toEqual(['open']);
  });

  test('required: a session or nothing', async () => {
    const { net, socket, log } = world({ session: 'required' });
    net.config.select = select.firefox;
    await wait(100_000);
    expect(log).toEqual(['error', 'close 1010 no everwire.v1 false']);
    expect(net.sockets.length).toBe(1);
    expect(socket.readyState).toBe(3);
  });

  test('off: it never offers', async () => {
    const { net, socket } = world({ session: 'off', protocols: 'mine' });
    net.config.select = (protocols) => protocols[0] ?? '';
    await wait(100);
    expect(net.last.protocols).toEqual(['mine']);
    expect([socket.state, socket.protocol]).toEqual(['plain', 'mine']);
  });

  test('a session does not go on with a server that knows none', async () => {
    const { net, socket, log } = world();
    await wait(100);
    net.config.select = select.firefox;
    net.last.cut();
    await wait(20_000);
    expect(log).toEqual(['open', 'detached']);
    net.config.select = (protocols) => (protocols.includes('everwire.v1') ? 'everwire.v1' : '');
    await wait(60_000);
    expect(socket.state).toBe('attached');
    expect(log).toEqual(['open', 'detached', 'resumed']);
  });

  test('a plain connection that the server closes normally stays closed', async () => {
    const { net, log } = world({ session: 'off' });
    net.config.select = () => '';
    await wait(100);
    net.last.cut(1000, 'enough');
    await wait(100_000);
    expect(log).toEqual(['open', 'close 1000 enough true']);
    expect(net.sockets.length).toBe(1);
  });
});
