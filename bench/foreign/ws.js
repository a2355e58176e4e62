// npm's ws as its echo example has it. With the argument `shared` or `dedicated` messages are compressed, without or with
// context.
const { WebSocketServer } = require('ws');

const mode = process.argv[2];
const forgets = mode === 'shared';
const perMessageDeflate = mode && { threshold: 0, serverNoContextTakeover: forgets, clientNoContextTakeover: forgets };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
server.on('listening', () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
