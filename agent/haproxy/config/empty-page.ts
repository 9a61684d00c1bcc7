/**
 * What a host says before its first app. One line, because the configuration has no other kind:
 * HAProxy takes one of any length, and 16 kB of answer (`tune.bufsize`).
 */
export const EMPTY_PAGE = [
  '<!doctype html><html lang="en"><meta charset="utf-8">',
  '<meta name="viewport" content="width=device-width,initial-scale=1">',
  '<title>No app yet</title><style>',
  ':root{color-scheme:light dark;--bg:#fafaf7;--fg:#1c1f23;--dim:#6b7280;--box:#fff;--line:#e5e5df}',
  '@media(prefers-color-scheme:dark){:root{--bg:#14161a;--fg:#eceef0;--dim:#9aa1ab;--box:#1d2026;--line:#2c313a}}',
  'body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--fg);',
  'font:17px/1.6 system-ui,sans-serif}main{max-width:34rem;padding:2rem}',
  'h1{font-size:1.9rem;line-height:1.2;margin:0 0 .6rem}p{margin:.6rem 0;color:var(--dim)}',
  'pre{margin:1.2rem 0;padding:1rem 1.2rem;background:var(--box);border:1px solid var(--line);',
  'border-radius:.6rem;font:15px/1.5 ui-monospace,monospace;overflow:auto}</style>',
  '<main><h1>Ready for its first app</h1>',
  '<p>HAProxy and zdd-agent run here; nothing has been deployed yet. From the folder of a project with a zdd.yaml:</p>',
  '<pre>zdd-agent push</pre>',
  '<p>The app is here as soon as its first release is healthy.</p></main></html>',
].join('');
