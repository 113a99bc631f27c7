/** How the Rust side answers: with data, with a failure, or bit by bit over a channel. */
import { Channel } from "@tauri-apps/api/core";

import type { ApiError, ErrorCode } from "./bindings";

/** Every promise of a `Client` rejects with this. */
export class ApiFailure extends Error {
  readonly code: ErrorCode;
  /** The file or folder that it is about, as the user calls it. */
  readonly subject: string | null;

  constructor(code: ErrorCode, message: string, subject: string | null = null) {
    super(message);
    this.name = "ApiFailure";
    this.code = code;
    this.subject = subject;
  }

  static from(error: unknown): ApiFailure {
    if (error instanceof ApiFailure) return error;
    if (isApiError(error)) return new ApiFailure(error.code, error.message, error.subject ?? null);
    return new ApiFailure("internal", error instanceof Error ? error.message : String(error));
  }
}

function isApiError(error: unknown): error is ApiError {
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}

export type Reply<T> = { status: "ok"; data: T } | { status: "error"; error: ApiError };

export async function take<T>(reply: Promise<Reply<T>>): Promise<T> {
  const result = await reply.catch((error: unknown) => {
    throw ApiFailure.from(error);
  });
  if (result.status === "error") throw ApiFailure.from(result.error);
  return result.data;
}

export function channel<T>(on: (message: T) => void): Channel<T> {
  const made = new Channel<T>();
  made.onmessage = on;
  return made;
}
