// What a constructor and `close` refuse, as the standard has it, and what ends a socket that no other attempt would help.
import ts from 'typescript';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Net } from './net.js';
import { ReferenceServer, n } from './server.js';
import { EverwireSocket } from './subject.js';
import { wait, world } from './world.js';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const exception = (name: string) => expect.objectContaining({ constructor: DOMException, name });

describe('the constructor', () => {
  const { WebSocket } = new Net(new ReferenceServer());

  for (const url of ['ftp://x', 'ws://x/#', 'ws://x/#part', 'https://x/?a#b', 'mailto:a@b', 'http://', '/relative', '', 'ws://x:99999']) {
    test(`refuses the URL "${url}"`, () => {
      expect(() => new EverwireSocket(url, { WebSocket })).toThrow(exception('SyntaxError'));
    });
  }

  for (const protocols of ['', 'a b', 'a,b', 'größer', ['a', 'a'], ['a', ''], 'everwire.v1']) {
    test(`refuses the subprotocols ${JSON.stringify(protocols)}`, () => {
      expect(() => new EverwireSocket('ws://x', { WebSocket, protocols })).toThrow(exception('SyntaxError'));
      expect(() => new EverwireSocket(() => 'ws://x', { WebSocket, protocols })).toThrow(exception('SyntaxError'));
    });
  }

  test('takes every character of a token', () => {
    const protocols = ["!#$%&'*+-.^_`|~", 'graphql-ws', 'v1.chat'];
    expect(new EverwireSocket('ws://x', { WebSocket, protocols }).readyState).toBe(0);
  });

  for (const [url, expected] of [
    ['http://x/a', 'ws://x/a'],
    ['https://x/a?b', 'wss://x/a?b'],
    ['HTTP://X', 'ws://x/'],
    ['wss://x:443/', 'wss://x/'],
    [new URL('https://x/%23'), 'wss://x/%23'],
  ] as const) {
    test(`takes ${url} for ${expected}`, async () => {
      const { socket, net } = world({ source: url });
      expect(socket.url).toBe(expected);
      await wait(100);
      expect(net.last.url).toBe(expected);
    });
  }

  test('takes a URL for one beside the page', () => {
    vi.stubGlobal('location', new URL('https://page/folder/'));
    expect(new EverwireSocket('chat', { WebSocket }).url).toBe('wss://page/folder/chat');
  });
});

describe('options', () => {
  const { WebSocket } = new Net(new ReferenceServer());
  const make = (options: object) => () => new EverwireSocket('ws://x', { WebSocket, ...options });

  for (const name of ['ttl', 'window', 'maxMessage']) {
    for (const value of [Infinity, -1, NaN, 0.5, 2 ** 53, '60000', null, {}]) {
      test(`${name}: ${JSON.stringify(value)} (${value}) is refused`, () => {
        expect(make({ [name]: value })).toThrow(RangeError);
      });
    }
    test(`${name}: undefined is the default, and ${2 ** 53 - 1} a number`, () => {
      expect(make({ [name]: undefined })().readyState).toBe(0);
      expect(make({ [name]: 2 ** 53 - 1 })().readyState).toBe(0);
    });
  }
});

test('a binaryType that is none is ignored', () => {
  const { socket } = world();
  for (const [value, expected] of [['arraybuffer', 'arraybuffer'], ['foo', 'arraybuffer'], ['blobs', 'arraybuffer'], ['blob', 'blob'], ['', 'blob']]) {
    socket.binaryType = value as BinaryType;
    expect(socket.binaryType).toBe(expected);
  }
});

describe('a URL that comes later', () => {
  const tells = async (options: Parameters<typeof world>[0], before?: (it: ReturnType<typeof world>) => void) => {
    const it = world(options);
    const errors: any[] = [];
    const closes: any[] = [];
    it.socket.onerror = ({ error }) => void errors.push(error);
    it.socket.onclose = (event) => void closes.push(event);
    before?.(it);
    it.socket.send('unheard');
    await wait(100_000);
    return { ...it, errors, closes };
  };

  for (const url of ['ftp://x', 'ws://x/#part', 'nothing']) {
    test(`"${url}" is the end, with what was not sent`, async () => {
      const { log, net, errors, closes, socket } = await tells({ source: async () => url });
      expect(errors).toEqual([exception('SyntaxError')]);
      expect(log).toEqual(['error', 'close 1006  false']);
      expect(closes[0].unacknowledged).toEqual(['unheard']);
      expect([net.sockets.length, socket.readyState]).toEqual([0, 3]);
    });
  }

  test('a WebSocket that the platform forbids is the end', async () => {
    class WebSocket {
      constructor() {
        throw new DOMException('mixed content', 'SecurityError');
      }
    }
    const { log, errors } = await tells({ WebSocket: WebSocket as any });
    expect(errors).toEqual([exception('SecurityError')]);
    expect(log).toEqual(['error', 'close 1006  false']);
  });

  test('a provider that fails is asked again, whatever it throws', async () => {
    const answers = ['<html>', '"ws://x/"'];
    const { log, errors, server } = await tells({ source: async () => JSON.parse(answers.shift()!) });
    expect(errors).toEqual([expect.any(SyntaxError)]);
    expect(log).toEqual(['error', 'open']);
    expect(server.last.received).toEqual(['tunheard']);
  });

  for (const [what, thrown] of [
    ['a code of its own', { code: 12 }],
    ['a code of the platform', new DOMException('no storage', 'SecurityError')],
  ] as const) {
    for (const provider of ['source', 'ticket'] as const) {
      test(`a ${provider} that fails with ${what} is asked again`, async () => {
        let asked = 0;
        const fails = async () => (asked++ ? (provider === 'source' ? 'ws://provided/' : '') : Promise.reject(thrown));
        const { log, errors, server } = await tells({ [provider]: fails });
        expect(errors).toEqual([thrown]);
        expect(log).toEqual(['error', 'open']);
        expect(server.last.received).toEqual(['tunheard']);
      });
    }
  }

  test('a server that names one which is none is come back to', async () => {
    const url = 'ftp://elsewhere/';
    const { log, net } = await tells({}, ({ server }) => server.refuse.push(new Uint8Array([0x60, 5, url.length, ...Buffer.from(url)])));
    expect(log).toEqual(['error', 'open']);
    expect(net.sockets.length).toBe(2);
  });

  test('where a session is required, what was sent is handed back at the end', async () => {
    const { closes } = await tells({ session: 'required' }, ({ net }) => void (net.config.select = () => ''));
    expect([closes[0].code, closes[0].unacknowledged]).toEqual([1010, ['unheard']]);
  });
});

describe('close', () => {
  for (const code of [999, 1001, 1005, 2999, 5000, NaN, Infinity, null as any]) {
    test(`refuses the code ${code}`, () => {
      const { socket } = world();
      expect(() => socket.close(code)).toThrow(exception('InvalidAccessError'));
      expect(socket.readyState).toBe(0);
    });
  }

  test('refuses a reason above 123 bytes', () => {
    const { socket } = world();
    expect(() => socket.close(1000, 'ß'.repeat(62))).toThrow(exception('SyntaxError'));
    socket.close(4999, `${'ß'.repeat(61)}x`);
    expect(socket.readyState).toBe(2);
  });

  test('is clean on a plain connection that opens afterwards', async () => {
    const { net, socket, log } = world({ session: 'off' });
    net.config.select = () => '';
    socket.send('1');
    socket.close();
    await wait(200);
    expect(net.last.sent).toEqual(['1']);
    expect(log).toEqual(['close 1000  true']);
  });
});

describe('a GOAWAY, and then a Close without advice', () => {
  /** Returns after how many ms the next attempt comes. */
  const returns = async (code: number, after: number) => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const { server, net } = world();
    await wait(10_000);
    server.last.wire!.send(new Uint8Array([0x80, ...n(after), ...n(2000), 0]));
    await wait(100);
    net.last.cut(code);
    const before = net.sockets.length;
    let ms = 0;
    for (; net.sockets.length === before && ms < 60_000; ms += 100) await wait(100);
    return ms;
  };

  for (const code of [1001, 1012]) {
    test(`${code}: the GOAWAY stands`, async () => {
      const ms = await returns(code, 40_000); // And half of its spread.
      expect(ms).toBeGreaterThan(40_000);
      expect(ms).toBeLessThan(41_200);
    });
  }

  test('1006: it comes back as after any loss', async () => {
    expect(await returns(1006, 40_000)).toBeLessThan(2000);
  });

  test('1012 without a GOAWAY: it takes its time', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const { net } = world();
    await wait(1000);
    net.last.cut(1012);
    await wait(4900);
    expect(net.sockets.length).toBe(1);
    await wait(200);
    expect(net.sockets.length).toBe(2);
  });
});

test('it stands where a WebSocket is wanted, for the type checker too', () => {
  const text = `
    import { EverwireSocket } from '${new URL('../dist/types/index.js', import.meta.url).pathname}';
    type Make = new (url: string | URL, protocols?: string | string[]) => WebSocket;
    function chat(Socket: Make) {
      const socket = new Socket('/chat', ['a', 'b']);
      socket.onmessage = ({ data, origin }: MessageEvent) => console.log(data, origin);
      socket.onclose = function ({ code, wasClean }) { console.log(this.readyState === Socket.prototype.CLOSED, code, wasClean); };
      socket.addEventListener('close', ({ reason }: CloseEvent) => console.log(reason), { once: true });
      socket.addEventListener('message', { handleEvent: ({ data }: MessageEvent) => console.log(data) });
      socket.binaryType = 'arraybuffer';
      if (socket.readyState === socket.OPEN) socket.send(new Uint8Array(1));
      socket.close(1000, 'done');
    }
    chat(WebSocket);
    chat(EverwireSocket);
    const socket = new EverwireSocket(async () => '/chat', { ticket: () => 'me' });
    socket.onclose = ({ unacknowledged }) => console.log(unacknowledged.length);
    socket.addEventListener('gap', ({ from, to }) => console.log(to - from));
    const standard: WebSocket = socket;
    export { standard };`;
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    strict: true,
    noEmit: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.getSourceFile = (name, ...rest) => (name === 'made.ts' ? ts.createSourceFile(name, text, rest[0], true) : getSourceFile(name, ...rest));
  host.fileExists = (name) => name === 'made.ts' || fileExists(name);
  const program = ts.createProgram(['made.ts'], options, host);
  expect(ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))).toEqual([]);
});
