/** Shortcuts as the Rust side writes them: `Ctrl+Shift+KeyK`. */

const MODIFIERS = new Set(["Control", "Shift", "Alt", "AltGraph", "Meta", "OS"]);

/** The combination of a key that was pressed; null while it is a modifier alone. */
export function combinationOf(event: Pick<KeyboardEvent, "key" | "code" | "ctrlKey" | "altKey" | "shiftKey" | "metaKey">) {
  if (MODIFIERS.has(event.key)) return null;
  const held = [
    event.ctrlKey && "Ctrl",
    event.altKey && "Alt",
    event.shiftKey && "Shift",
    event.metaKey && "Super",
  ];
  return [...held.filter((key) => key !== false), event.code].join("+");
}

/** The keys one by one, as they are written on a keyboard. */
export const keysOf = (combination: string) =>
  combination.split("+").map((key) => key.replace(/^(Key|Digit)(?=.$)/, "").replace(/^Numpad(?=.)/, "Num "));
