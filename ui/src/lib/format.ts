/** Numbers as people read them, in the language of the window. */
import { i18n, m } from "./i18n/i18n.svelte";

const formats = new Map<string, Intl.NumberFormat>();

function format(n: number, options: Intl.NumberFormatOptions): string {
  const key = i18n.language + JSON.stringify(options);
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.NumberFormat(i18n.language, options)));
  return made.format(n);
}

const whole = (n: number) => format(n, { maximumFractionDigits: 0 });
const short = (n: number) => format(n, { maximumSignificantDigits: 3 });

export const count = whole;

export function bytes(n: number): string {
  if (n < 1e6) return `${short(n / 1e3)} kB`;
  return n < 1e9 ? `${short(n / 1e6)} MB` : `${short(n / 1e9)} GB`;
}

export function parameters(n: number): string {
  if (n < 1e6) return m.numbers.thousand(short(n / 1e3));
  return n < 1e9 ? m.numbers.million(short(n / 1e6)) : m.numbers.billion(short(n / 1e9));
}

export const seconds = (ms: number) => (ms < 1000 ? `${whole(ms)} ms` : `${short(ms / 1000)} s`);

/** Minutes and seconds, as a stopwatch shows them. */
export function clock(ms: number): string {
  const all = Math.floor(ms / 1000);
  return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`;
}

export const perSecond = (n: number) => m.numbers.perSecond(short(n));

/** The last part of a path of any system. */
export const fileName = (path: string) => path.split(/[/\\]/).findLast((part) => part !== "") ?? path;

/** What to call the file that something with this title is exported to: what no file system takes is left out. */
export const exportName = (title: string, extension: string | undefined) =>
  `${title.replace(/[/\\:*?"<>|]/g, " ").trim() || "Sotto"}.${extension}`;
