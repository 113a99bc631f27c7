/** When conversations were, as people say it. */
import { i18n } from "../../lib/i18n/i18n.svelte";
import type { ThreadEntry } from "../../lib/ipc/client";

export type GroupName = "pinned" | "today" | "yesterday" | "week" | "earlier";

export interface Group {
  name: GroupName;
  threads: ThreadEntry[];
}

const ORDER: GroupName[] = ["pinned", "today", "yesterday", "week", "earlier"];

/** Groups that have threads, in their order; within a group the order of the list stays. */
export function groupsOf(threads: readonly ThreadEntry[], now: number): Group[] {
  const groupOf = (thread: ThreadEntry): GroupName => {
    if (thread.pinned) return "pinned";
    const days = daysBetween(thread.updated_ms, now);
    return days <= 0 ? "today" : days === 1 ? "yesterday" : days < 7 ? "week" : "earlier";
  };
  return ORDER.map((name) => ({ name, threads: threads.filter((thread) => groupOf(thread) === name) })).filter(
    (group) => group.threads.length > 0,
  );
}

/** The time of today, the weekday of this week, else the date. */
export function whenOf(ms: number, now: number): string {
  const days = daysBetween(ms, now);
  const options: Intl.DateTimeFormatOptions =
    days <= 1 ? { timeStyle: "short" } : days < 7 ? { weekday: "long" } : { dateStyle: "medium" };
  return new Intl.DateTimeFormat(i18n.language, options).format(ms);
}

/** Midnights between two moments, where the user lives. */
function daysBetween(then: number, now: number): number {
  const midnight = (ms: number) => {
    const date = new Date(ms);
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  };
  return Math.round((midnight(now) - midnight(then)) / 86_400_000);
}

/** Hours and minutes of now, as a part of a file's name: "17.05". */
export const timeOfDay = () => new Date().toTimeString().slice(0, 5).replace(":", ".");
