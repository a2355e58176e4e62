// Checks an echo server with npm's undici, the browser's API outside a browser. It always offers
// compression, cannot send a message in fragments, and fails silently where no subprotocol is chosen.
const { channel } = require('node:diagnostics_channel');
const { WebSocket, ping } = require('undici');
const { MIB, expect, run } = require('./checks');

const url = process.argv[2];

const next = (socket, type) =>
  new Promise((resolve, reject) => {
    socket.addEventListener(type, resolve, { once: true });
    socket.addEventListener('error', (event) => reject(event.error ?? new Error('error event')), { once: true });
  });

async function open() {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  await next(socket, 'open');
  return socket;
}

async function echoed(...messages) {
  const socket = await open();
  for (const message of messages) {
    socket.send(message);
    const { data } = await next(socket, 'message');
    if (typeof message === 'string') expect(message, data);
    else expect(message.toString('latin1'), Buffer.from(data).toString('latin1'));
  }
  socket.close();
}

run({
  'text': () => echoed('hi', 'größer'),
  'binary': () => echoed(Buffer.from(Array.from({ length: 256 }, (_, i) => i))),
  'empty message': () => echoed('', Buffer.alloc(0)),
  'one mebibyte': () => echoed(MIB),
  async 'ping is answered'() {
    const socket = await open();
    const pong = new Promise((resolve) => channel('undici:websocket:pong').subscribe(resolve));
    ping(socket, Buffer.from('are you there'));
    expect('are you there', (await pong).payload.toString());
    socket.close();
  },
  async 'close code comes back'() {
    const socket = await open();
    socket.close(4001, 'bye');
    const { code, wasClean } = await next(socket, 'close');
    expect([4001, true], [code, wasClean]);
  },
});
