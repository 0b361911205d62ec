// A button that opens a list of things to do. Arrows move in it, Escape leaves it.
import { html, useLayoutEffect, useRef, useState } from "../../vendor/preact.js";
import { refusal } from "../session.js";
import { Icon } from "./icons.js";
import { tell } from "./toast.js";

/** Below the button, or above it where there is no room; within the window. */
function place(list, button) {
  const height = list.offsetHeight, below = button.bottom + 5, room = window.innerHeight - below > height + 8;
  list.style.top = `${room ? below : Math.max(8, button.top - height - 5)}px`;
  list.style.left = `${Math.max(8, Math.min(button.right - list.offsetWidth, window.innerWidth - list.offsetWidth - 8))}px`;
}

/** `items`: [{name, icon, run, href, risky, changes, off}]; falsy ones are left out. */
export function Menu({ name, items, icon = "dots", look = "", children }) {
  const [open, set] = useState(false);
  const self = useRef(null);
  // Before anything is painted, so that the next key finds the focus where it belongs.
  useLayoutEffect(() => {
    if (!open) return undefined;
    const away = (event) => { if (!self.current?.contains(event.target)) set(false); };
    document.addEventListener("pointerdown", away);
    const list = self.current.querySelector(".menu-list");
    list.showPopover();
    place(list, self.current.getBoundingClientRect());
    list.firstElementChild?.focus({ preventScroll: true });
    // The page also scrolls by itself, where something above comes or goes: the list stays at its button.
    const follow = () => {
      const button = self.current.getBoundingClientRect();
      if (button.bottom < 0 || button.top > window.innerHeight) set(false);
      else place(list, button);
    };
    const leave = () => set(false);
    window.addEventListener("scroll", follow, { passive: true });
    window.addEventListener("resize", leave);
    return () => {
      document.removeEventListener("pointerdown", away);
      window.removeEventListener("scroll", follow);
      window.removeEventListener("resize", leave);
    };
  }, [open]);
  const close = () => {
    set(false);
    self.current?.querySelector("button")?.focus();
  };
  const press = (event) => {
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      close();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (!open) return void set(true);
    const all = [...self.current.querySelectorAll(".menu-list > *")];
    const next = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    all[(next + all.length) % all.length].focus();
  };
  const row = (item) => {
    const why = (item.changes && refusal()) || item.off || "";
    const inner = html`<${Icon} name=${item.icon} />${item.name}`;
    if (item.href) return html`<a role="menuitem" href=${item.href} onClick=${() => set(false)}>${inner}</a>`;
    return html`<button type="button" role="menuitem" class=${item.risky ? "risky" : ""} aria-disabled=${why ? "true" : undefined} title=${why || undefined}
      onClick=${() => { if (why) return tell(why, "bad"); close(); return item.run(); }}>${inner}</button>`;
  };
  return html`<div class="menu" ref=${self} onKeyDown=${press}>
    <button type="button" class="button ${look} ${children ? "" : "icon"}" aria-haspopup="menu" aria-expanded=${open ? "true" : "false"} aria-label=${name} title=${children ? undefined : name}
      onClick=${() => set(!open)}><${Icon} name=${icon} />${children}</button>
    ${open && html`<div class="menu-list" role="menu" popover="manual" aria-label=${name}>${items.filter(Boolean).map(row)}</div>`}</div>`;
}
