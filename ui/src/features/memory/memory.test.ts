import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { MockClient } from "../../lib/ipc/mock";
import { MemoryController } from "./memory.svelte";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function setUp() {
  const page = Object.assign(new EventTarget(), { hidden: false });
  const client = new MockClient();
  const memory = new MemoryController(client);
  const end = memory.watch(page as unknown as Document);
  const hide = (hidden: boolean) => {
    page.hidden = hidden;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  return { client, memory, end, hide };
}

test("looks at once, and then now and then", async () => {
  const { client, memory, end } = setUp();
  await vi.advanceTimersByTimeAsync(0);
  expect(memory.figures?.resident).toBe(client.memory?.resident);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(client.memoryReads).toBe(6);
  end();
});

test("nobody looks while the window is hidden, or has gone", async () => {
  const { client, end, hide } = setUp();
  await vi.advanceTimersByTimeAsync(0);
  hide(true);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(client.memoryReads).toBe(1);
  hide(false);
  await vi.advanceTimersByTimeAsync(0);
  expect(client.memoryReads).toBe(2);
  end();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(client.memoryReads).toBe(2);
});

test("a hidden window that was being answered does not go on", async () => {
  const { client, hide } = setUp();
  hide(true); // before the first answer has come
  await vi.advanceTimersByTimeAsync(60_000);
  expect(client.memoryReads).toBe(1);
});

test("a figure that fails leaves none", async () => {
  const { client, memory, end } = setUp();
  await vi.advanceTimersByTimeAsync(0);
  client.memoryFigures = () => Promise.reject(new Error("gone"));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(memory.figures).toBeNull();
  end();
});
