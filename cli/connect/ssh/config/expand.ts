import { hostname } from 'node:os';

/** What the tokens of ssh_config(5) stand for. */
export interface Tokens {
  readonly home: string;
  readonly localUser: string;
  /** As typed. */
  readonly original: string;
  readonly host: string;
  readonly user: string;
  readonly port: number;
  readonly hostKeyAlias: string | undefined;
}

/** Replaces `%h` and its kin, and `%%`; an unknown token stays as it is. */
export function expandTokens(text: string, tokens: Tokens): string {
  return text.replace(/%([%CdhikLlnpru])/g, (whole, letter: string) => {
    switch (letter) {
      case '%':
        return '%';
      case 'd':
        return tokens.home;
      case 'h':
        return tokens.host;
      case 'i':
        return String(process.getuid?.() ?? '');
      case 'k':
        return tokens.hostKeyAlias ?? tokens.host;
      case 'L':
        return hostname().split('.')[0] ?? '';
      case 'l':
        return hostname();
      case 'n':
        return tokens.original;
      case 'p':
        return String(tokens.port);
      case 'r':
        return tokens.user;
      case 'u':
        return tokens.localUser;
      default:
        return whole;
    }
  });
}

/** A path as ssh reads it: `~`, `${VARIABLES}` and tokens. */
export function expandPath(text: string, tokens: Tokens): string {
  const named = text
    .replace(/^~(?=\/|$)/, tokens.home)
    .replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => process.env[name] ?? '');
  return expandTokens(named, tokens);
}
