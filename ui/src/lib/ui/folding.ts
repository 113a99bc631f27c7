import type { Attachment } from "svelte/attachments";

/**
 * For a `<details>`: Escape folds it and gives its summary the focus back. A click outside of `kept`, a part of it or the
 * whole, folds it too, and so does the focus when it goes elsewhere.
 */
export function folding(kept: (details: HTMLDetailsElement) => Node | null): Attachment<HTMLDetailsElement> {
  return (details) => {
    function onkeydown(event: KeyboardEvent) {
      if (event.key !== "Escape" || !details.open) return;
      details.open = false;
      details.querySelector("summary")?.focus();
      event.stopPropagation();
    }

    function onfocusout(event: FocusEvent) {
      const next = event.relatedTarget;
      if (next instanceof Node && !details.contains(next)) details.open = false;
    }

    function onclick(event: MouseEvent) {
      if (event.target instanceof Node && !kept(details)?.contains(event.target)) details.open = false;
    }

    details.addEventListener("keydown", onkeydown);
    details.addEventListener("focusout", onfocusout);
    document.addEventListener("click", onclick);
    return () => {
      details.removeEventListener("keydown", onkeydown);
      details.removeEventListener("focusout", onfocusout);
      document.removeEventListener("click", onclick);
    };
  };
}
