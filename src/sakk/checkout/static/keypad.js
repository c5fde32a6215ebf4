// Large keys for thumbs; the field itself stays, for keyboards and for phones without a script.
const field = document.getElementById("amount");
const keys = document.querySelector(".keys");
keys.hidden = false;
keys.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (!key) return;
  if (key === "back") field.value = field.value.slice(0, -1);
  else if (key !== "." || !field.value.includes(".")) field.value = (field.value + key).slice(0, 24);
});

// A day of takings is one where the phone is. The server learns it once, and writes the page anew.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const known = () => document.cookie.split("; ").includes(`sakk_zone=${zone}`);
if (zone && !known()) {
  document.cookie = `sakk_zone=${zone}; Path=/pos; Max-Age=34560000; SameSite=Strict`;
  if (known() && zone !== document.querySelector("[data-zone]").dataset.zone) location.replace("/pos");
}
