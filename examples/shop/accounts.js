import { createHmac, timingSafeEqual } from 'node:crypto';
import { release } from './settings.js';

/** One account, for the example's sake; a real shop has its users and their hashes elsewhere. */
const NAME = 'demo';
const password = process.env.SHOP_PASSWORD ?? 'demo';
/** The same in every instance of a release, so that any of them knows the token of another. */
const key = process.env.SHOP_KEY ?? `${release}/${password}`;

/** A token for who knows the password, else null. */
export function login({ user, password: given }) {
  return user === NAME && given === password ? `${NAME}.${sign(NAME)}` : null;
}

/** Whose the token of an `authorization` header is, or null. */
export function accountOf(authorization = '') {
  const [, name, signature] = /^Bearer ([a-z]+)\.([\w-]+)$/.exec(authorization) ?? [];
  if (name === undefined) return null;
  const wanted = Buffer.from(sign(name));
  const given = Buffer.from(signature);
  return wanted.length === given.length && timingSafeEqual(wanted, given) ? name : null;
}

function sign(name) {
  return createHmac('sha256', key).update(name).digest('base64url');
}
