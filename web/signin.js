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

// A token in the address was not known; it stands in no history, and the rest of the link leads on.
const link = new URL(location.href);
if (link.searchParams.has("token")) {
  link.searchParams.delete("token");
  history.replaceState(null, "", link);
  said.textContent = "The token of this link is of another run; open the URL that tapedeck printed last, or put its token in here.";
}

// Signing in elsewhere, where the configuration names an issuer.
const oidc = await fetch("/oidc").catch(() => null);
if (oidc?.ok) {
  const { issuer } = await oidc.json();
  const elsewhere = document.createElement("a");
  elsewhere.href = "/oidc/start";
  elsewhere.textContent = `Sign in with ${new URL(issuer).host}`;
  // The provider sends browsers back to the front page.
  elsewhere.addEventListener("click", () => sessionStorage.setItem("tapedeck.link", location.search));
  document.querySelector("main").append(elsewhere);
}
