// Checks an echo server with npm's ws.
const { once } = require('node:events');
const { WebSocket } = require('ws');
const { MIB, expect, run } = require('./checks');

const url = process.argv[2];

async function open(options = {}, protocols = []) {
  const socket = new WebSocket(url, protocols, { maxPayload: 16 << 20, perMessageDeflate: false, ...options });
  await once(socket, 'open');
  return socket;
}

async function echoed(messages, options) {
  const socket = await open(options);
  for (const message of messages) {
    socket.send(message);
    const [data, isBinary] = await once(socket, 'message');
    expect(typeof message !== 'string', isBinary);
    expect(message.toString('latin1'), isBinary ? data.toString('latin1') : data.toString());
  }
  socket.terminate();
}

run({
  'text': () => echoed(['hi', 'größer']),
  'binary': () => echoed([Buffer.from(Array.from({ length: 256 }, (_, i) => i))]),
  'empty message': () => echoed(['', Buffer.alloc(0)]),
  'one mebibyte': () => echoed([MIB, Buffer.alloc(1 << 20, 0xff)]),
  'compression offered': () => echoed(['hi'.repeat(1000)], { perMessageDeflate: true }),
  async 'fragmented message with a ping inside'() {
    const socket = await open();
    const pong = once(socket, 'pong');
    socket.send('a', { fin: false });
    socket.send('', { fin: false });
    socket.ping('are you there');
    expect('are you there', (await pong)[0].toString());
    const message = once(socket, 'message');
    socket.send('z', { fin: true });
    expect('az', (await message)[0].toString());
    socket.terminate();
  },
  // ws refuses such a server, as browsers do; that it says why proves that the server answered well.
  async 'subprotocol offered but not chosen'() {
    const [error] = await once(new WebSocket(url, ['nobody.speaks.this']), 'error');
    expect('Server sent no subprotocol', error.message);
  },
  async 'close code comes back'() {
    const socket = await open();
    socket.close(4001, 'bye');
    expect(4001, (await once(socket, 'close'))[0]);
  },
  async 'close without a code'() {
    const socket = await open();
    socket.close();
    expect(1005, (await once(socket, 'close'))[0]);
  },
});
