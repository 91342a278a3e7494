// Asks a StreamSync router a query, signed with an API key. Node's own library (18 or later) is all
// it needs; in a browser, `crypto.subtle` takes the place of `node:crypto`.
//
//   node sign.mjs http://127.0.0.1:8080 key.json "SELECT 41 + 1 AS n"

import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

// The headers that sign a request (RFC 9421, hmac-sha256, over a digest by RFC 9530).
function signed(key, method, url, body) {
  const { host, pathname, search } = new URL(url);
  const lines = [
    ["@method", method],
    ["@authority", host.toLowerCase()],
    ["@path", pathname],
  ];
  const headers = {};
  if (search) lines.push(["@query", search]);
  if (body) {
    const digest = createHash("sha256").update(body).digest("base64");
    headers["content-digest"] = `sha-256=:${digest}:`;
    lines.push(["content-digest", headers["content-digest"]]);
  }
  const names = lines.map(([name]) => `"${name}"`).join(" ");
  const params =
    `(${names});created=${Math.floor(Date.now() / 1000)};keyid="${key.key}"` +
    `;nonce="${randomBytes(16).toString("hex")}";alg="hmac-sha256"`;
  const base =
    lines.map(([name, value]) => `"${name}": ${value}\n`).join("") +
    `"@signature-params": ${params}`;
  const secret = Buffer.from(key.secret, "base64url");
  const made = createHmac("sha256", secret).update(base).digest("base64");
  headers["signature-input"] = `sig=${params}`;
  headers["signature"] = `sig=:${made}:`;
  return headers;
}

const [router, keyFile, sql] = process.argv.slice(2);
const key = JSON.parse(readFileSync(keyFile, "utf8"));
const url = `${router.replace(/\/$/, "")}/v1/query`;
const body = JSON.stringify({ sql });
const headers = { "content-type": "application/json", ...signed(key, "POST", url, body) };
const answer = await fetch(url, { method: "POST", headers, body });
const said = await answer.json();
if (!answer.ok) throw new Error(said.detail);
console.log(JSON.stringify(said.rows));
