// Why something cannot be done: the role that it needs, or the key of the configuration that forbids it.

const ROLE = { investigate: "investigate", operate: "operate", editScripts: "operate", replay: "operate" };
const KEY = { editScripts: "tap.dashboard.editScripts", replay: "tap.dashboard.replay" };

// One sentence, or nothing where `session` allows `what`: investigate, operate, editScripts or replay.
export function whyNot(session, what) {
  const may = session?.may ?? {};
  if (may[what]) return "";
  if (may[ROLE[what]]) return `This is switched off: ${KEY[what]} is false in the configuration`;
  return session ? `This needs the role ${ROLE[what]}, and yours is ${session.role}; ask whoever runs tapedeck for a token that has it` : "Sign in first";
}

// Attributes of a button that cannot be pressed for a reason, and tells it.
export const unless = (why, attributes) => ({ ...attributes, disabled: why !== "", title: why || attributes.title });

// The same for a button that is there; `title` is what it says where it can be pressed.
export const allow = (button, why, title = "") => Object.assign(button, unless(why, { title }));
