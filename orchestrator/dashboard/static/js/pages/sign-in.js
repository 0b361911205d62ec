// The sign-in: one token, tried before it is kept.
import { html, useRef, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { ended, signIn, token, who } from "../session.js";
import { Mark } from "../ui/icons.js";
import { Check, Field, Input } from "../ui/fields.js";
import { Button, Notice, sentence } from "../ui/parts.js";

/** What a token may do. A daemon that cannot say it is asked for something that any token may read. */
async function whoami(as) {
  try {
    return await get("/v1/whoami", {}, { as });
  } catch (problem) {
    if (!problem.missing) throw problem;
    await get("/v1/status", {}, { as });
    return { access: "admin", name: "" };
  }
}

/** Ask again who is signed in, after the page was loaded anew. */
export async function identify() {
  if (who.value || !token.value) return;
  try {
    who.value = await whoami(undefined);
  } catch {
    // a refused token has ended the sign-in; a daemon that is away is told by the page
  }
}

const WRONG = {
  401: "That token is not valid here. Check that it was copied whole, and that it is a token of this daemon.",
  403: "That token opens endpoints, not this page. It needs scope read or admin.",
};

export function SignIn() {
  const [text, type] = useState(""), [remember, keep] = useState(false);
  const [busy, work] = useState(false), [wrong, refuse] = useState(null);
  const field = useRef(null);
  const send = async (event) => {
    event.preventDefault();
    const given = text.trim();
    if (!given) return refuse({ said: "Paste a token first." });
    work(true);
    refuse(null);
    try {
      signIn(given, { remember, as: await whoami(given) });
    } catch (problem) {
      work(false);
      refuse({ said: WRONG[problem.status] || sentence(problem.detail), hint: WRONG[problem.status] ? "" : problem.hint });
      field.current?.querySelector("input")?.select();
    }
    return undefined;
  };
  return html`<main class="sign-in"><form onSubmit=${send} ref=${field} novalidate aria-label="Sign in">
    <div class="stack close"><${Mark} /><div><h1>Orchestrator</h1><p class="quiet">Sign in to see and steer what is served here.</p></div></div>
    ${ended.value && !wrong && html`<${Notice} kind="warn" role="status"><p>${ended.value}</p></${Notice}>`}
    <${Field} label="Token" wrong=${wrong?.said} hint=${wrong?.hint}><${Input} type="password" name="token" mono value=${text} change=${(value) => { type(value); refuse(null); }} autofocus autocomplete="current-password" /></${Field}>
    <${Check} value=${remember} change=${keep} hint="Otherwise it is forgotten when this tab closes.">Remember on this device</${Check}>
    <${Button} type="submit" look="first" busy=${busy}>Sign in</${Button}>
    <p class="foot">The administrator’s token is the text of <code>admin.token</code> in the daemon’s state directory. More, also such that may read only:
      <br /><code>orchestrator token create '*' --scope read</code></p></form></main>`;
}
