/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const count = (n: number) => whole.format(n);

export function bytes(n: number): string {
  if (n < 1e6) return `${short.format(n / 1e3)} kB`;
  return n < 1e9 ? `${short.format(n / 1e6)} MB` : `${short.format(n / 1e9)} GB`;
}

export function parameters(n: number): string {
  if (n < 1e6) return `${short.format(n / 1e3)} thousand`;
  return n < 1e9 ? `${short.format(n / 1e6)} million` : `${short.format(n / 1e9)} billion`;
}

export const seconds = (ms: number) => (ms < 1000 ? `${whole.format(ms)} ms` : `${short.format(ms / 1000)} s`);

export const perSecond = (n: number) => `${short.format(n)} per second`;

/** The last part of a path of any system. */
export const fileName = (path: string) => path.split(/[/\\]/).findLast((part) => part !== "") ?? path;
