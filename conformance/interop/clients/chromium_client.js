// Checks the server's own page for ordinary connections in headless Chromium.
//
//     chromium_client.js http://127.0.0.1:PORT/plain http://127.0.0.1:ADMIN_PORT
const { chromium } = require('playwright-core');
const { expect, run } = require('./checks');

const [pageUrl, admin] = process.argv.slice(2);

// Nothing here may reach beyond loopback.
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const textOf = (page, id) => page.locator(`#${id}`).innerText();

// Waits until the text of the element `id` contains every one of `parts`.
async function shows(page, id, ...parts) {
  const found = ([id, parts]) => parts.every((part) => document.getElementById(id).textContent.includes(part));
  await page.waitForFunction(found, [id, parts], { timeout: 5000 }).catch(async () => {
    throw new Error(`#${id} should show ${parts.join(' and ')}, but it shows ${await textOf(page, id)}`);
  });
}

async function connections() {
  const body = await (await fetch(`${admin}/connections`)).json();
  return Array.isArray(body) ? body : body.connections;
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
  const page = await browser.newPage();
  page.setDefaultTimeout(10_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));

  const connect = async () => {
    await page.click('#connect');
    await shows(page, 'state', 'open');
  };

  await run({
    async 'the page opens'() {
      expect(200, (await page.goto(pageUrl)).status());
    },
    async 'a message comes back'() {
      await connect();
      for (const text of ['hi', 'größer']) {
        await page.fill('#message', text);
        await page.click('#send');
        await page.waitForFunction(
          (text) => {
            const lines = document.getElementById('log').innerText.split('\n').filter((line) => line.includes(text));
            return lines.some((l) => l.trim().startsWith('>')) && lines.some((l) => l.trim().startsWith('<'));
          },
          text,
          { timeout: 5000 },
        );
      }
    },
    async 'disconnecting is a normal closure'() {
      await page.click('#disconnect');
      await shows(page, 'state', 'closed');
      await shows(page, 'closure', '1000');
    },
    async 'a closed connection is off the list'() {
      for (let tries = 0; tries < 50 && (await connections()).length > 0; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(0, (await connections()).length);
    },
    async 'the server says why it ends a connection'() {
      await connect();
      const [{ id }, ...others] = await connections();
      expect(0, others.length);
      const query = new URLSearchParams({ code: 4000, reason: 'kicked' });
      const response = await fetch(`${admin}/connections/${id}/close?${query}`, { method: 'POST' });
      expect(true, response.ok);
      await shows(page, 'state', 'closed');
      await shows(page, 'closure', '4000', 'kicked');
    },
    async 'the page raises no errors'() {
      expect([], complaints);
    },
  });
}

main().catch((error) => {
  console.log(`FAILED  ${error.message}`);
  process.exit(1);
});
