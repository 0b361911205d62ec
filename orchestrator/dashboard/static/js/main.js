// The page: who is signed in sees the shell with one page in it, anybody else the sign-in.
import { effect, html, render, useEffect } from "../vendor/preact.js";
import { Keys } from "./keys.js";
import { connect, disconnect } from "./live.js";
import { Activity } from "./pages/activity.js";
import { Changes } from "./pages/changes.js";
import { Model } from "./pages/model.js";
import { Models } from "./pages/models.js";
import { Service } from "./pages/service.js";
import { Services } from "./pages/services.js";
import { SignIn, identify } from "./pages/sign-in.js";
import { System } from "./pages/system.js";
import { Tokens } from "./pages/tokens.js";
import { here, to } from "./router.js";
import { token } from "./session.js";
import { Shell } from "./shell.js";
import { closeAll, Dialogs } from "./ui/dialog.js";
import { Empty } from "./ui/parts.js";
import { Toasts } from "./ui/toast.js";

function Page() {
  const [first = "services", second, ...rest] = here.value.path;
  switch (first) {
    case "services": return second ? html`<${Service} key=${second} name=${second} tab=${rest[0]} rest=${rest.slice(1)} />` : html`<${Services} />`;
    case "models": return second ? html`<${Model} key=${second} name=${second} tab=${rest[0]} rest=${rest.slice(1)} />` : html`<${Models} />`;
    case "changes": return html`<${Changes} />`;
    case "activity": return html`<${Activity} tab=${second} />`;
    case "tokens": return html`<${Tokens} />`;
    case "system": return html`<${System} tab=${second} />`;
    default: return html`<${Empty} icon="search" title="There is no such page"><p><a href=${to("services")}>To the services</a></p></${Empty}>`;
  }
}

function App() {
  const signedIn = Boolean(token.value);
  useEffect(() => {
    if (!signedIn) return undefined;
    identify();
    connect();
    return () => {
      disconnect();
      closeAll();
    };
  }, [signedIn]);
  if (!signedIn) return html`<${SignIn} /><${Toasts} />`;
  return html`<${Shell}><${Page} /></${Shell}><${Keys} /><${Dialogs} /><${Toasts} />`;
}

let page = "";
effect(() => {
  const [first = "services", second] = here.value.path;
  const now = `${first}/${second || ""}`;
  if (page && page !== now) window.scrollTo(0, 0);
  page = now;
});

sessionStorage.removeItem("orchestrator.loads");
render(html`<${App} />`, document.getElementById("app"));
