import { cleanup, fireEvent, render, waitFor } from "@testing-library/svelte";
import { afterEach, expect, test, vi } from "vitest";

import { MockClient } from "../lib/ipc/mock";
import App from "./App.svelte";

afterEach(cleanup);

test("a window that cannot be drawn says so, and can be shown again", async () => {
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  const client = new MockClient();
  const threads = client.threads.bind(client);
  // A list of what is no conversation.
  client.threads = () => Promise.resolve([null] as unknown as Awaited<ReturnType<typeof threads>>);
  const { container } = render(App, { client });
  const slot = (name: string) => container.querySelector<HTMLElement>(`[data-slot="${name}"]`);
  await waitFor(() => expect(slot("window-failed")?.textContent).toContain("Your conversations are on the disk"));
  expect(told).toHaveBeenCalled();
  client.threads = threads;
  await fireEvent.click(slot("show-again") as HTMLElement);
  await waitFor(() => expect(slot("threads")).not.toBeNull());
  expect(slot("window-failed")).toBeNull();
  told.mockRestore();
});
