// How a socket ends: what its close says, and that it comes.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { n } from './server.js';
import { wait, world } from './world.js';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const bye = (code: number, reason: string) => new Uint8Array([0x90, ...n(code), 0, 0, 0, 0, reason.length, ...Buffer.from(reason)]);

describe('our own close is clean, whatever its code', () => {
  for (const code of [1000, 3000, 4408, 4410, 4500, 4999]) {
    test(`${code}, on a session`, async () => {
      const { server, socket, log } = world();
      await wait(100);
      socket.send('1');
      socket.close(code, 'bye');
      await wait(200);
      expect(log).toEqual(['open', `close ${code} bye true`]);
      expect([server.last.received, server.last.ended]).toEqual([['t1'], code]);
    });
  }

  test('4500, where nobody answers any more', async () => {
    const { net, socket, log } = world();
    await wait(100);
    net.silent = true;
    net.last.cut();
    await wait(100);
    socket.close(4500, 'bye');
    await wait(70_000);
    expect(log).toEqual(['open', 'detached', 'close 4500 bye true']);
  });

  test('a violation of the server is none of ours', async () => {
    const { net, log } = world();
    await wait(100);
    net.last.deliver(new Uint8Array([0x10, 1]).fill(0xff, 0, 1));
    await wait(200);
    expect(log).toEqual(['open', 'error', 'close 4500  false']);
  });
});

describe('closed before it opened', () => {
  for (const session of ['off', 'auto'] as const) {
    test(`it keeps its code and reason until a plain connection opens (session: ${session})`, async () => {
      const { net, socket, log } = world({ session });
      net.config.select = () => '';
      socket.send('1');
      socket.close(3456, 'bye');
      await wait(200);
      expect(net.last.sent).toEqual(['1']);
      expect(net.last.closedWith).toBe(3456);
      expect(log).toEqual(['close 3456 bye true']);
    });

    test(`it is not clean where nothing ever opens (session: ${session})`, async () => {
      const { net, socket, log } = world({ session });
      const closes: CloseEvent[] = [];
      socket.onclose = (event) => void closes.push(event);
      net.refusing = true;
      socket.send('1');
      socket.close(3456, 'bye');
      await wait(11_000);
      expect(log).toEqual(['error', 'close 1006  false']);
      expect(closes).toEqual([expect.objectContaining({ unacknowledged: ['1'] })]);
    });
  }

  test('what a blob has goes out first', async () => {
    vi.useRealTimers();
    const { net, socket, log } = world({ session: 'off' });
    net.config.select = () => '';
    socket.send(new Blob(['1']));
    socket.close(3456, 'bye');
    await vi.waitFor(() => expect(log).toEqual(['close 3456 bye true']), 10_000);
    expect(net.last.sent.length).toBe(1);
  });

  test('a plain connection that does not come back for what was sent is not clean', async () => {
    const { net, socket, log } = world({ session: 'off' });
    net.config.select = () => '';
    await wait(100);
    net.refusing = true;
    net.last.cut();
    await wait(100);
    socket.send('1');
    socket.close();
    await wait(11_000);
    expect(log).toEqual(['open', 'detached', 'error', 'close 1006  false']);
  });
});

describe('closed before the answer of a server that selects everwire.v1 but does not speak it', () => {
  type Server = (it: ReturnType<typeof world>) => (frame: Uint8Array) => void;
  const servers: Record<string, Server> = {
    'says nothing': () => () => {},
    'echoes': ({ net }) => (frame) => net.sockets.find(({ readyState }) => readyState === 1)?.deliver(frame),
    'talks text': ({ net }) => () => net.last.deliver('hello'),
    'closes': ({ net }) => () => net.last.cut(1000),
  };
  for (const [what, make] of Object.entries(servers)) {
    for (const session of ['auto', 'required'] as const) {
      for (const sent of [[], ['1']]) {
        test(`and ${what}: it ends (session: ${session}, ${sent.length} sent)`, async () => {
          const it = world({ session });
          const closes: any[] = [];
          it.socket.onclose = (event) => void closes.push(event);
          it.server.accept = () => make(it);
          it.net.config.select = (protocols) => (protocols.length ? 'everwire.v1' : undefined);
          await wait(15);
          for (const each of sent) it.socket.send(each);
          it.socket.close();
          await wait(12_000);
          expect(it.socket.readyState).toBe(3);
          expect(closes.map(({ unacknowledged }) => unacknowledged)).toEqual([sent]);
          expect(closes[0].wasClean).toBe(false);
          expect(it.net.open.length).toBe(0);
        });
      }
    }
  }
});

describe('a server that ends the session', () => {
  test('with 3000 to 4499: what is lost says with which code and reason', async () => {
    const { server, socket, log } = world();
    const losses: any[] = [];
    socket.onlost = ({ code, reason, unacknowledged }) => void losses.push({ code, reason, unacknowledged });
    await wait(100);
    server.last.wire!.send(bye(3123, 'shift is over'));
    await wait(5000);
    expect(losses).toEqual([{ code: 3123, reason: 'shift is over', unacknowledged: [] }]);
    expect(log).toEqual(['open', 'lost []', 'resumed, fresh']);
  });

  test('by forgetting it: there is no code', async () => {
    const { server, socket } = world();
    const losses: any[] = [];
    socket.onlost = ({ code, reason }) => void losses.push([code, reason]);
    await wait(100);
    server.restart();
    await wait(60_000);
    expect(losses).toEqual([[undefined, undefined]]);
  });
});
