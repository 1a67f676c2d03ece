// @auth0/cose judges what we made: reads the evidence as JSON, prints {name of the check: verdict}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [evidenceFile, modules] = process.argv.slice(2);
const require = createRequire(join(modules, 'node_modules', 'x.js'));
const { Sign1 } = require('@auth0/cose');
const { importJWK } = require('jose');

const evidence = JSON.parse(readFileSync(evidenceFile, 'utf8'));
const bytes = (name) => Buffer.from(evidence[name], 'hex');
const key = (name) =>
  importJWK({ kty: 'OKP', crv: 'Ed25519', x: bytes(name).toString('base64url') }, 'EdDSA');

const flipped = (data) => {
  const copy = Buffer.from(data);
  copy[copy.length - 1] ^= 1;
  return copy;
};

async function holds(message, by, payload) {
  const sign1 = Sign1.decode(message);
  await sign1.verify(await key(by), payload && { detachedPayload: new Uint8Array(payload) });
  return true;
}

async function refused(work) {
  try {
    return !(await work());
  } catch {
    return true;
  }
}

const statement = bytes('statement');
const receipt = bytes('receipt');
console.log(
  JSON.stringify({
    '@auth0/cose takes the statement': await holds(statement, 'gateway'),
    '@auth0/cose takes the transparent statement': await holds(bytes('transparent'), 'gateway'),
    '@auth0/cose takes the receipt over the root': await holds(receipt, 'log', bytes('root')),
    '@auth0/cose refuses a changed statement': await refused(() =>
      holds(flipped(statement), 'gateway'),
    ),
    '@auth0/cose refuses the statement of another': await refused(() => holds(statement, 'log')),
    '@auth0/cose refuses the receipt over another root': await refused(() =>
      holds(receipt, 'log', Buffer.alloc(32)),
    ),
  }),
);
