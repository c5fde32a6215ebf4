// Fills in what takes a moment to find out; without a script there is a link to it.
for (const place of document.querySelectorAll("[data-load]")) {
  const answer = await fetch(place.dataset.load, { headers: { "hx-request": "true" } });
  if (answer.ok) place.innerHTML = await answer.text();
  document.dispatchEvent(new Event("sakk:loaded"));
}
