import { expect, test } from "vitest";

import { bytes, count, fileName, parameters, perSecond, seconds } from "./format";

test.each([
  [bytes(2_300), "2.3 kB"],
  [bytes(3_104_000_000), "3.1 GB"],
  [parameters(5_439_438_272), "5.44 billion"],
  [parameters(812_000), "812 thousand"],
  [count(32_768), "32,768"],
  [seconds(412.4), "412 ms"],
  [seconds(12_340), "12.3 s"],
  [perSecond(9.2749), "9.27 per second"],
  [fileName("/models/gemma 3n/"), "gemma 3n"],
  [fileName("C:\\models\\x.gguf"), "x.gguf"],
  [fileName("/"), "/"],
])("%s", (got, want) => expect(got).toBe(want));
