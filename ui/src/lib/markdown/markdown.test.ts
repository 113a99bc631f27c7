/**
 * @vitest-environment jsdom
 *
 * DOMPurify warns of happy-dom, whose parser is not a browser's.
 */
import { describe, expect, test } from "vitest";

import { blocks, sanitise } from "./markdown";

const html = (text: string) => blocks(text).join("").replaceAll("\n", "");

test.each([
  ["**bold** and `code`", "<p><strong>bold</strong> and <code>code</code></p>"],
  ["one\ntwo", "<p>one<br>two</p>"],
  ["| a | b |\n|--|:-:|\n| 1 | 2 |", '<td align="center">2</td>'],
  ["```rust\nfn main() {}\n```", '<code class="language-rust"><span class="hljs-keyword">fn</span>'],
  ["```nolanguage\n<b>\n```", '<code class="language-nolanguage">&lt;b&gt;'],
  ["see https://example.org/a", '<a href="https://example.org/a">https://example.org/a</a>'],
  ["see main.rs", "<p>see main.rs</p>"],
])("%s", (text, expected) => expect(html(text)).toContain(expected));

describe("formulas", () => {
  test.each([
    ["$a^2 + b$", '<span class="math">a^2 + b</span>'],
    ["so \\(x < 1\\) holds", '<span class="math">x &lt; 1</span>'],
    ["$$\n\\int_0^1 x\n$$", '<div class="math" data-display>\\int_0^1 x</div>'],
    ["\\[ x \\]", '<div class="math" data-display>x</div>'],
    ["- $$x$$", '<div class="math" data-display>x</div>'],
    ["$$x$$ and more", '<span class="math">x</span> and more'],
  ])("%s", (text, expected) => expect(html(text)).toContain(expected));

  test.each(["it costs $5 or $10", "$ 5 and 6 $", "$$ never closed", "\\(", "`$x$`"])("none in: %s", (text) =>
    expect(html(text)).not.toContain("math"),
  );
});

test("a growing text changes its last block alone", () => {
  const text = "# Title\n\nFirst *paragraph*.\n\n- one\n- two\n\n```js\nlet x = 1;";
  const before = blocks(text);
  const after = blocks(text + "\nlet y = 2;");
  expect(before).toHaveLength(4);
  expect(after.slice(0, 3)).toEqual(before.slice(0, 3));
  expect(after[3]).not.toBe(before[3]);
});

describe("nothing loads and nothing runs", () => {
  const made = (html: string) => {
    const frame = document.createElement("div");
    frame.append(sanitise(html));
    return frame;
  };

  test("HTML is text", () => {
    expect(html("<img src=x onerror=alert(1)>")).toBe("<p>&lt;img src=x onerror=alert(1)&gt;</p>");
  });

  test("pictures become links", () => {
    expect(html("![a cat](https://example.org/cat.png)")).toBe(
      '<p><a href="https://example.org/cat.png">a cat</a></p>',
    );
  });

  test("addresses that run something are no links", () => {
    expect(html("[x](javascript:alert(1)) [y](data:text/html,z)")).not.toContain("<a");
  });

  test.each([
    "<img src=x>",
    "<script>alert(1)</script>",
    "<iframe src=x></iframe>",
    "<svg><use href=x></use></svg>",
    "<math><mtext><style><img src=x></style></mtext></math>",
    "<form action=x><input></form>",
    "<style>*{}</style>",
    "<video src=x></video>",
    "<object data=x></object>",
  ])("what markdown-it would not write is not kept: %s", (html) => {
    const kept = [...made(`<p>kept</p>${html}`).querySelectorAll("*")].map((element) => element.tagName);
    expect(kept).toEqual(["P"]);
  });

  test("no attribute but the few that are needed", () => {
    const link = made('<a href="https://a.b" onclick="x" style="color:red" target="_blank">a</a>').querySelector("a");
    expect(link?.getAttributeNames()).toEqual(["href"]);
  });
});
