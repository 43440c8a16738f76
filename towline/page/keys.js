// What keys do; none while somebody types, none with Ctrl, Alt or Meta.
import { $ } from "./dom.js";

export function listen(actions) {
  const keys = {
    "/": () => { $("q").focus(); $("q").select(); },
    "?": () => $("keys").showModal(),
    ArrowDown: () => actions.list.move(1), j: () => actions.list.move(1),
    ArrowUp: () => actions.list.move(-1), k: () => actions.list.move(-1),
    End: actions.follow, f: actions.follow, l: actions.live, t: actions.theme, w: actions.wrap, c: actions.context,
    1: () => actions.view(0), 2: () => actions.view(1), 3: () => actions.view(2),
    Escape: () => { document.body.classList.remove("menu"); document.activeElement?.blur(); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing && event.key !== "Escape") return;
    const row = event.target.closest(".row");
    if (event.key === "Enter" && row === event.target) { actions.list.toggle(row); event.preventDefault(); return; }
    const action = keys[event.key];
    if (action) { action(); event.preventDefault(); }
  });
}
