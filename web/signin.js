// Hands a token in and opens the page that was asked for.

const form = document.querySelector("form");
const token = document.querySelector("#token");
const said = document.querySelector("#said");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  try {
    const answer = await fetch("/signin", { method: "POST", headers: { authorization: `Bearer ${token.value.trim()}` } });
    if (answer.ok) location.reload();
    else said.textContent = await answer.text();
  } catch {
    said.textContent = "tapedeck does not answer; is it still running?";
  }
});
token.focus();

// Signing in elsewhere, where the configuration names an issuer.
const oidc = await fetch("/oidc").catch(() => null);
if (oidc?.ok) {
  const { issuer } = await oidc.json();
  const link = document.createElement("a");
  link.href = "/oidc/start";
  link.textContent = `Sign in with ${new URL(issuer).host}`;
  // The provider sends browsers back to the front page.
  link.addEventListener("click", () => sessionStorage.setItem("tapedeck.link", location.search));
  document.querySelector("main").append(link);
}
